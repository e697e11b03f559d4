// What a file says of its file_system_types: who allocates s_fs_info before there is a superblock,
// and what kill_sb does with it. Each fact is one JSON object on a line (harness/errpath/analysis/audit/facts.py).

@initialize:python@
@@
import json


def say(fact, **values):
    print(json.dumps({"fact": fact, **{key: str(value) for key, value in values.items()}}))

@fstype@
identifier t;
expression e;
position p;
@@
struct file_system_type t@p = { .name = e, };

@opens@
identifier fstype.t, init;
@@
struct file_system_type t = { .init_fs_context = init, };

@ends@
identifier fstype.t, kill;
@@
struct file_system_type t = { .kill_sb = kill, };

@script:python@
t << fstype.t;
e << fstype.e;
p << fstype.p;
init << opens.init;
kill << ends.kill;
@@
say("type", variable=t, name=e.strip('"'), file=p[0].file, line=p[0].line, init=init, kill=kill)

// A context for a reconfigure borrows the superblock's own: only what is made here counts.
@allocates exists@
identifier opens.init, fc, x;
expression made;
position p;
@@
init(struct fs_context *fc)
{
<+...
x = made
...
fc->s_fs_info@p = x
...+>
}

@script:python@
init << opens.init;
p << allocates.p;
made << allocates.made;
@@
say("allocates", init=init, line=p[0].line, made=made)

// kill_sb, or what it calls in this file, takes s_fs_info or a macro's cast of it into a variable
// and gives that, or a member of it, to a function.
@takes exists@
identifier ends.kill, sb, x;
identifier give;
expression got;
position p;
@@
kill(struct super_block *sb)
{
<+...
x = got
...
\(give@p(..., x, ...)\|give@p(..., &x->rcu, ...)\)
...+>
}

@script:python@
kill << ends.kill;
p << takes.p;
x << takes.x;
got << takes.got;
give << takes.give;
@@
say("gives", kill=kill, line=p[0].line, variable=x, got=got, function=give)

@direct exists@
identifier ends.kill, sb, give;
position p;
@@
kill(struct super_block *sb)
{
<+...
give@p(..., sb->s_fs_info, ...)
...+>
}

@script:python@
kill << ends.kill;
p << direct.p;
give << direct.give;
@@
say("gives", kill=kill, line=p[0].line, variable="", got="sb->s_fs_info", function=give)

// A member of file_system_type's kill_sb that only calls another function of this file.
@calls exists@
identifier ends.kill, sb, other;
position p;
@@
kill(struct super_block *sb)
{
<+...
other@p(sb)
...+>
}

@script:python@
kill << ends.kill;
p << calls.p;
other << calls.other;
@@
say("calls", kill=kill, line=p[0].line, function=other)
