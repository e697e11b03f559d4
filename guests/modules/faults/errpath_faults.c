// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fails one call of one task: of a function, an allocation, or the submission of a block request.
 *
 * An ftrace_ops with IPMODIFY is on the functions that the host names. Where a call is to fail, it
 * goes to a function of ours instead, as live patching does it. That needs no error-injection list,
 * places no probe per case, and sees the arguments: reads differ from writes, and allocations
 * that may not fail (__GFP_NOFAIL) are left alone.
 *
 * The hooks for allocations are where the kernel asks its own fault attributes (should_failslab()
 * and so on); a block request that is to fail ends in submit_bio_noacct(). Their addresses are
 * parameters, as they are private to the kernel; so are ranges of code whose allocations do not
 * count, such as kmemleak's own.
 *
 * debugfs errpath_faults/:
 *   functions  write: lines ADDRESS=NAME, the address in hex. Replaces the functions of kind
 *              "call"; what cannot be traced is left out.
 *   arm        write, by the task that is to be failed:
 *                record MASK
 *                fail KIND FUNCTION NTH TIMES CHAIN RETVAL [CALLER]
 *                off
 *              or one line "record" and some lines "fail", which all hold at once.
 *              MASK is of bits 1 << KIND; with bit 31, calls of kernel threads count as well.
 *              FUNCTION is a name for kind "call", the sectors FIRST-LAST
 *              of which a request has one for the kinds of requests, else anything.
 *              CHAIN is 0 or the hash of a recorded call chain. NTH counts what matches, from 1;
 *              TIMES is how many fail from there on, 0 for all. RETVAL is what a call or a hook
 *              returns; of a request, how it ends: 0 an error; 1 success, and what is read is
 *              zeroes; 2 success, and nothing has been done; 3 an error, and so ends every later
 *              request of anybody to that disk. With CALLER, only what is called
 *              below a function of that name matches. The same text again, by the same task,
 *              goes on counting where it was, until another task writes "off".
 *   state      read: "fired N matched N lost N"; of several lines, what that has which fired least
 *   chains     read: what was recorded, a line for each distinct call chain of each kind, in the
 *              order of first sight: KIND FUNCTION COUNT CHAIN FRAME…, innermost frame first.
 *              write: anything, to forget it.
 */
#include <linux/bio.h>
#include <linux/bits.h>
#include <linux/blkdev.h>
#include <linux/debugfs.h>
#include <linux/ftrace.h>
#include <linux/gfp.h>
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/spinlock.h>
#include <linux/stacktrace.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

enum kind { F_SLAB, F_PAGE, F_PERCPU, F_READ, F_WRITE, F_FLUSH, F_CALL, F_VMALLOC,
	    F_KINDS };

/* How a request ends that is to fail. */
enum ending { E_ERROR, E_ZEROES, E_LOST, E_GONE };

#define RECORD_THREADS BIT(31)
#define DEPTH_MAX 48
#define CHAINS_MAX 8192
#define BUCKETS 4096
#define FUNCTIONS_MAX 8192
#define RULES_MAX 4
#define TEXT_MAX 1024

static unsigned long slab, page, percpu, bio, vmalloc_range;
module_param(slab, ulong, 0400);
module_param(page, ulong, 0400);
module_param(percpu, ulong, 0400);
module_param(bio, ulong, 0400);
/* 0 where the kernel has none by that name. */
module_param_named(vmalloc, vmalloc_range, ulong, 0400);
/* Pairs of start and end. */
static unsigned long reject[16];
static int rejects;
module_param_array(reject, ulong, &rejects, 0400);

struct chain {
	u64 hash;
	u32 kind, index, count, depth;
	int next;
	unsigned long frames[DEPTH_MAX];
};

struct hook {
	unsigned long address;
	int index;	/* of a function, or -1 - kind of one of the fixed hooks */
};

static struct {
	/* A dead task's structure may become another's: both are compared. */
	struct task_struct *task;
	pid_t pid;
	u32 record;		/* mask of kinds */
	u64 lost;
	int rules;
	struct rule {
		u32 kind, index;
		u64 nth, times, chain, retval, first, last;
		char caller[128];
		u64 matched, fired;
	} rule[RULES_MAX];
} armed;

/* The armed task and kernel threads may add to them. */
static DEFINE_RAW_SPINLOCK(chains_lock);
/* The disk that has gone away. */
static struct gendisk *gone;

static struct chain *chains;
static int chain_count;
static int buckets[BUCKETS];
static struct hook *hooks;
static int hook_count;
/* What was written to "functions", and the name of each in it. */
static char *names_text, **names;
static int name_count;
static DEFINE_MUTEX(lock);
static struct dentry *directory;

/*
 * What a function's address hashes to: its name and the offset in it, which are the same in every
 * boot of one build. Looking it up takes longer than an allocation, so that it is remembered.
 */
static struct {
	unsigned long address;
	u64 hash;
} places[8192];

/* In place of a function that is to fail; the value is put where its first argument was. */
static unsigned long fail_call(unsigned long value)
{
	return value;
}

/* In place of submit_bio_noacct(), for a request that is to fail, one for each ending. */
static void fail_request(struct bio *request)
{
	bio_io_error(request);
}

static void read_zeroes(struct bio *request)
{
	zero_fill_bio(request);
	bio_endio(request);
}

static void lose_request(struct bio *request)
{
	bio_endio(request);
}

static void (*const endings[])(struct bio *request) = {
	[E_ERROR] = fail_request, [E_ZEROES] = read_zeroes, [E_LOST] = lose_request,
	[E_GONE] = fail_request,
};

static u64 mix(u64 hash, u64 value)
{
	hash ^= value;
	hash *= 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 29);
}

static u64 place(unsigned long address)
{
	unsigned int at = mix(1, address) % ARRAY_SIZE(places);
	static char text[KSYM_SYMBOL_LEN];
	u64 hash = 7;
	char *c;

	if (places[at].address == address)
		return places[at].hash;
	sprint_symbol(text, address);
	for (c = text; *c; c++)
		hash = mix(hash, *c);
	places[at].address = address;
	places[at].hash = hash;
	return hash;
}

static bool below(const unsigned long *frames, unsigned int depth, const char *name)
{
	static char text[KSYM_SYMBOL_LEN];
	size_t size = strlen(name);
	unsigned int i;

	for (i = 0; i < depth; i++) {
		sprint_symbol(text, frames[i]);
		if (!strncmp(text, name, size) && text[size] == '+')
			return true;
	}
	return false;
}

static bool rejected(const unsigned long *frames, unsigned int depth)
{
	unsigned int i;
	int r;

	for (i = 0; i < depth; i++)
		for (r = 0; r + 1 < rejects; r += 2)
			if (frames[i] >= reject[r] && frames[i] < reject[r + 1])
				return true;
	return false;
}

static void note_locked(u32 kind, u32 index, u64 hash, const unsigned long *frames,
			unsigned int depth)
{
	u64 key = mix(mix(hash, kind), index);
	int *link = &buckets[key % BUCKETS];
	struct chain *chain;

	for (; *link; link = &chain->next) {
		chain = &chains[*link - 1];
		if (chain->hash == hash && chain->kind == kind && chain->index == index) {
			chain->count++;
			return;
		}
	}
	if (chain_count == CHAINS_MAX) {
		armed.lost++;
		return;
	}
	chain = &chains[chain_count++];
	*link = chain_count;
	*chain = (struct chain){ .hash = hash, .kind = kind, .index = index, .count = 1,
				 .depth = depth };
	memcpy(chain->frames, frames, depth * sizeof(*frames));
}

static void note(u32 kind, u32 index, u64 hash, const unsigned long *frames, unsigned int depth)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&chains_lock, flags);
	note_locked(kind, index, hash, frames, depth);
	raw_spin_unlock_irqrestore(&chains_lock, flags);
}

static const struct hook *hook_of(unsigned long ip)
{
	int low = 0, high = hook_count - 1;

	while (low < high) {
		int middle = (low + high + 1) / 2;

		if (hooks[middle].address <= ip)
			low = middle;
		else
			high = middle - 1;
	}
	/* With indirect branch tracking the traced place is behind the first instruction. */
	return hook_count && ip - hooks[low].address < 16 ? &hooks[low] : NULL;
}

static int direction(const struct bio *request)
{
	if (bio_op(request) == REQ_OP_READ)
		return F_READ;
	return bio_op(request) == REQ_OP_FLUSH || !request->bi_iter.bi_size ? F_FLUSH : F_WRITE;
}

static int kind_of(const struct hook *hook, struct pt_regs *regs)
{
	gfp_t gfp = 0;
	int kind = -1 - hook->index;

	if (hook->index >= 0)
		return F_CALL;
	if (kind == F_SLAB)
		gfp = regs_get_kernel_argument(regs, 1);
	else if (kind == F_PAGE)
		gfp = regs_get_kernel_argument(regs, 0);
	else if (kind == F_PERCPU)
		gfp = regs_get_kernel_argument(regs, 3);
	else if (kind == F_VMALLOC)
		gfp = regs_get_kernel_argument(regs, 4);
	if (gfp & __GFP_NOFAIL)
		return -1;
	return kind == F_READ ? direction((void *)regs_get_kernel_argument(regs, 0)) : kind;
}

static bool counts(void)
{
	if (READ_ONCE(armed.task) == current)
		return armed.pid == current->pid;
	return READ_ONCE(armed.task) && armed.record & RECORD_THREADS &&
	       current->flags & PF_KTHREAD;
}

/* Where the hooked function was called from. */
struct way {
	unsigned long all[DEPTH_MAX + 16];
	unsigned int first, size;
	u64 hash;
};

/* False for what does not count, such as what the tools of this very check allocate. */
static bool notrace find_way(struct way *way, unsigned long parent_ip)
{
	unsigned int size = stack_trace_save(way->all, ARRAY_SIZE(way->all), 0), i;

	way->hash = 0;
	for (way->first = 0; way->first < size && way->all[way->first] != parent_ip; way->first++)
		;
	if (way->first == size)
		return false;
	way->size = min_t(unsigned int, size - way->first, DEPTH_MAX);
	if (rejected(way->all + way->first, way->size))
		return false;
	for (i = way->first; i < way->first + way->size; i++)
		way->hash = mix(way->hash, place(way->all[i]));
	way->hash = way->hash ?: 1;
	return true;
}

static bool is_request(int kind)
{
	return kind >= F_READ && kind <= F_FLUSH;
}

static bool has_sector(const struct rule *rule, const struct bio *request)
{
	u64 first = request->bi_iter.bi_sector, size = bio_sectors(request);

	return !rule->last || (first <= rule->last && first + size > rule->first);
}

/* Whether the rule is for this call; `way` is there where the kind or any rule of it needs it. */
static bool notrace matches(const struct rule *rule, const struct hook *hook, int kind,
			    const struct way *way, struct pt_regs *regs)
{
	if (kind != rule->kind || (kind == F_CALL && hook->index != rule->index))
		return false;
	if (is_request(kind) && !has_sector(rule, (void *)regs_get_kernel_argument(regs, 0)))
		return false;
	return (!rule->chain || way->hash == rule->chain) &&
	       (!rule->caller[0] || below(way->all + way->first, way->size, rule->caller));
}

static void notrace fail(const struct rule *rule, int kind, struct pt_regs *regs)
{
	const struct bio *request = (void *)regs_get_kernel_argument(regs, 0);

	if (!is_request(kind)) {
		regs->di = rule->retval;
		instruction_pointer_set(regs, (unsigned long)fail_call);
		return;
	}
	if (rule->retval == E_GONE)
		WRITE_ONCE(gone, request->bi_bdev->bd_disk);
	instruction_pointer_set(regs, (unsigned long)endings[rule->retval]);
}

/* Whether any rule asks for where a call of this kind came from. */
static bool wants_way(int kind)
{
	int i;

	for (i = 0; i < armed.rules; i++)
		if (armed.rule[i].kind == kind && (armed.rule[i].chain || armed.rule[i].caller[0]))
			return true;
	return kind != F_CALL;
}

static bool wanted(const struct hook *hook, int kind)
{
	int i;

	for (i = 0; i < armed.rules; i++)
		if (armed.rule[i].kind == kind &&
		    (kind != F_CALL || armed.rule[i].index == hook->index))
			return true;
	return armed.record & (1u << kind);
}

static void notrace called_by_task(const struct hook *hook, unsigned long parent_ip,
				   struct pt_regs *regs)
{
	static struct way way;
	int kind = kind_of(hook, regs), i;

	if (kind < 0 || !wanted(hook, kind))
		return;
	way.first = 0;
	way.size = 0;
	way.hash = 0;
	if (wants_way(kind) && !find_way(&way, parent_ip))
		return;
	if (armed.record & (1u << kind))
		note(kind, hook->index < 0 ? 0 : hook->index, way.hash, way.all + way.first,
		     way.size);
	for (i = 0; i < armed.rules; i++) {
		struct rule *rule = &armed.rule[i];

		if (!matches(rule, hook, kind, &way, regs))
			continue;
		rule->matched++;
		if (rule->matched < rule->nth || (rule->times && rule->fired == rule->times))
			continue;
		rule->fired++;
		fail(rule, kind, regs);
		return;
	}
}

static void notrace called(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			   struct ftrace_regs *fregs)
{
	bool mine = READ_ONCE(armed.task) && counts() && in_task();
	const struct gendisk *disk = READ_ONCE(gone);
	const struct hook *hook;
	struct pt_regs *regs;

	if (likely(!mine && !disk))
		return;
	hook = hook_of(ip);
	/* They are all there: the operations ask for them (FTRACE_OPS_FL_SAVE_REGS). */
	regs = hook ? ftrace_get_regs(fregs) : NULL;
	if (!regs)
		return;
	if (disk && hook->index == -1 - F_READ) {
		const struct bio *request = (void *)regs_get_kernel_argument(regs, 0);

		if (request->bi_bdev->bd_disk == disk) {
			instruction_pointer_set(regs, (unsigned long)fail_request);
			return;
		}
	}
	if (mine && READ_ONCE(armed.task) == current)
		called_by_task(hook, parent_ip, regs);
	else if (mine && hook->index >= 0 && armed.record & (1u << F_CALL))
		/* Stacks are taken of the armed task alone. */
		note(F_CALL, hook->index, 0, NULL, 0);
}

static struct ftrace_ops ops = {
	.func = called,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_RECURSION,
};

static int by_address(const void *left, const void *right)
{
	const struct hook *one = left, *other = right;

	return one->address < other->address ? -1 : one->address > other->address;
}

/*
 * Traces what can be traced of `wanted`, which `ips` are the addresses of, and appends it to
 * `fresh`; how much there is then. The kernel takes all of a list or nothing, and copies what it
 * has each time: what is not traceable is found by halving.
 */
static int trace(const struct hook *wanted, unsigned long *ips, int count, struct hook *fresh,
		 int all)
{
	int half = count / 2;

	if (!count)
		return all;
	if (!ftrace_set_filter_ips(&ops, ips, count, 0, all == 0)) {
		memcpy(fresh + all, wanted, count * sizeof(*wanted));
		return all + count;
	}
	if (count == 1)
		return all;
	all = trace(wanted, ips, half, fresh, all);
	return trace(wanted + half, ips + half, count - half, fresh, all);
}

/* The fixed hooks and `count` functions, in place of what there was. */
static int set_hooks(const unsigned long *functions, int count)
{
	const unsigned long fixed[] = {
		[F_SLAB] = slab, [F_PAGE] = page, [F_PERCPU] = percpu, [F_READ] = bio,
		[F_VMALLOC] = vmalloc_range,
	};
	const int most = count + ARRAY_SIZE(fixed);
	struct hook *wanted = kvcalloc(most, sizeof(*wanted), GFP_KERNEL);
	struct hook *fresh = kvcalloc(most, sizeof(*fresh), GFP_KERNEL);
	unsigned long *ips = kvcalloc(most, sizeof(*ips), GFP_KERNEL);
	int i, known = 0, all = 0, error = -ENOMEM;

	if (!wanted || !fresh || !ips)
		goto out;
	if (hook_count)
		unregister_ftrace_function(&ops);
	hook_count = 0;
	for (i = 0; i < most; i++) {
		int own = i - (int)ARRAY_SIZE(fixed);

		ips[known] = own < 0 ? fixed[i] : functions[own];
		wanted[known] = (struct hook){ ips[known], own < 0 ? -1 - i : own };
		known += ips[known] != 0;
	}
	all = trace(wanted, ips, known, fresh, 0);
	error = all ? register_ftrace_function(&ops) : -EINVAL;
	sort(fresh, all, sizeof(*fresh), by_address, NULL);
	swap(hooks, fresh);
	hook_count = error ? 0 : all;
out:
	kvfree(wanted);
	kvfree(fresh);
	kvfree(ips);
	return error;
}

static bool hooked(int index)
{
	int i;

	for (i = 0; i < hook_count; i++)
		if (hooks[i].index == index)
			return true;
	return false;
}

static char *take(const char __user *from, size_t size)
{
	char *text = size < (1 << 20) ? vmemdup_user(from, size) : ERR_PTR(-E2BIG);

	if (!IS_ERR(text))
		text[size - 1] = '\0';
	return text;
}

/* The last byte is taken for an end of line. */
static ssize_t functions_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	char *text = size ? take(from, size) : ERR_PTR(-EINVAL), *rest = text, *word;
	unsigned long *addresses;
	char **fresh;
	int count = 0, error = 0;

	if (IS_ERR(text))
		return PTR_ERR(text);
	addresses = kvcalloc(FUNCTIONS_MAX, sizeof(*addresses), GFP_KERNEL);
	fresh = kvcalloc(FUNCTIONS_MAX, sizeof(*fresh), GFP_KERNEL);
	if (!addresses || !fresh)
		error = -ENOMEM;
	while (!error && (word = strsep(&rest, "\n"))) {
		char *name = strchr(word, '=');

		if (!*word)
			continue;
		if (!name || count == FUNCTIONS_MAX) {
			error = name ? -E2BIG : -EINVAL;
			break;
		}
		*name++ = '\0';
		fresh[count] = name;
		error = kstrtoul(word, 16, &addresses[count++]);
	}
	mutex_lock(&lock);
	if (!error) {
		error = set_hooks(addresses, count);
		swap(text, names_text);
		swap(fresh, names);
		name_count = count;
	}
	mutex_unlock(&lock);
	kvfree(addresses);
	kvfree(fresh);
	kvfree(text);
	return error ?: size;
}

static int index_of(const char *name)
{
	int i;

	for (i = 0; i < name_count; i++)
		if (!strcmp(names[i], name))
			return hooked(i) ? i : -EOPNOTSUPP;
	return -ENOENT;
}

/* What was armed last; empty once somebody else has written "off". */
static char armed_text[TEXT_MAX];

/* Whether a request of this kind can end so; takes the sectors that are named. */
static bool ends_request(struct rule *rule, const char *sectors)
{
	if (rule->retval > E_GONE || (rule->retval == E_ZEROES && rule->kind != F_READ) ||
	    (rule->retval == E_LOST && rule->kind == F_READ))
		return false;
	return sectors[0] == '-' ||
	       sscanf(sectors, "%llu-%llu", &rule->first, &rule->last) == 2;
}

/* One line "fail"; 0 or -errno. */
static int add_rule(const char *line)
{
	struct rule *rule = &armed.rule[armed.rules];
	char function[128];
	int index = 0;

	if (armed.rules == RULES_MAX)
		return -E2BIG;
	memset(rule, 0, sizeof(*rule));
	if (sscanf(line, "fail %u %127s %llu %llu %llx %lld %127s", &rule->kind, function,
		   &rule->nth, &rule->times, &rule->chain, (s64 *)&rule->retval,
		   rule->caller) < 6 || rule->kind >= F_KINDS || !rule->nth)
		return -EINVAL;
	if (is_request(rule->kind) && !ends_request(rule, function))
		return -EINVAL;
	if (rule->kind == F_VMALLOC && !vmalloc_range)
		return -EOPNOTSUPP;
	if (rule->kind == F_CALL)
		index = index_of(function);
	if (index < 0)
		return index;
	rule->index = index;
	armed.rules++;
	return 0;
}

static int add_recording(const char *line)
{
	if (sscanf(line, "record %u", &armed.record) != 1 || !armed.record)
		return -EINVAL;
	if (!chains)
		chains = vzalloc(array_size(CHAINS_MAX, sizeof(*chains)));
	return chains ? 0 : -ENOMEM;
}

/* 1 where something is armed now, 0 where nothing is, or -errno. */
static int arm(const char *text)
{
	static char lines[TEXT_MAX];
	char *rest = lines, *line;
	int error = 0;

	WRITE_ONCE(armed.task, NULL);
	if (!strncmp(text, "off", 3)) {
		if (armed.pid != current->pid) {
			armed_text[0] = '\0';
			WRITE_ONCE(gone, NULL);
		}
		return 0;
	}
	if (armed.pid == current->pid && !strcmp(text, armed_text))
		return 1;
	memset(&armed, 0, sizeof(armed));
	armed_text[0] = '\0';
	strscpy(lines, text, sizeof(lines));
	while (!error && (line = strsep(&rest, "\n")))
		if (*line)
			error = !strncmp(line, "record", 6) ? add_recording(line) : add_rule(line);
	if (error || (!armed.record && !armed.rules))
		return error ?: -EINVAL;
	strscpy(armed_text, armed.record ? "" : text, sizeof(armed_text));
	return 1;
}

static ssize_t arm_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	static char text[TEXT_MAX];
	int got;

	if (size >= sizeof(text))
		return -E2BIG;
	mutex_lock(&lock);
	got = copy_from_user(text, from, size) ? -EFAULT : 0;
	text[size] = '\0';
	if (!got)
		got = arm(text);
	mutex_unlock(&lock);
	if (got > 0) {
		armed.pid = current->pid;
		WRITE_ONCE(armed.task, current);
	}
	return got < 0 ? got : size;
}

/* Nothing is allocated: a step that is armed may be in the middle of it. */
static ssize_t state_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	char text[96];
	const struct rule *least = &armed.rule[0];
	int i, used;

	for (i = 1; i < armed.rules; i++)
		if (armed.rule[i].fired < least->fired)
			least = &armed.rule[i];
	used = scnprintf(text, sizeof(text), "fired %llu matched %llu lost %llu\n", least->fired,
			 least->matched, armed.lost);

	return simple_read_from_buffer(to, size, at, text, used);
}

static void *chains_at(struct seq_file *out, loff_t *at)
{
	return *at < chain_count ? &chains[*at] : NULL;
}

static void *chains_next(struct seq_file *out, void *last, loff_t *at)
{
	++*at;
	return chains_at(out, at);
}

static void chains_stop(struct seq_file *out, void *last)
{
}

static int chains_show(struct seq_file *out, void *item)
{
	const struct chain *chain = item;

	seq_printf(out, "%u %s %u %llx", chain->kind,
		   chain->kind == F_CALL && chain->index < name_count ? names[chain->index] : "-",
		   chain->count, chain->hash);
	for (u32 i = 0; i < chain->depth; i++)
		seq_printf(out, " %pS", (void *)chain->frames[i]);
	seq_putc(out, '\n');
	return 0;
}

static const struct seq_operations chains_operations = {
	.start = chains_at, .next = chains_next, .stop = chains_stop, .show = chains_show,
};

static int chains_open(struct inode *inode, struct file *file)
{
	return seq_open(file, &chains_operations);
}

static ssize_t chains_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	mutex_lock(&lock);
	WRITE_ONCE(armed.task, NULL);
	vfree(chains);
	chains = NULL;
	chain_count = 0;
	memset(buckets, 0, sizeof(buckets));
	mutex_unlock(&lock);
	return size;
}

static const struct file_operations functions_file = {
	.owner = THIS_MODULE, .write = functions_write,
};

static const struct file_operations arm_file = { .owner = THIS_MODULE, .write = arm_write };

static const struct file_operations state_file = { .owner = THIS_MODULE, .read = state_read };

static const struct file_operations chains_file = {
	.owner = THIS_MODULE, .open = chains_open, .read = seq_read, .write = chains_write,
	.llseek = seq_lseek, .release = seq_release,
};

static int __init faults_init(void)
{
	int error = set_hooks(NULL, 0);

	if (error)
		return error;
	directory = debugfs_create_dir("errpath_faults", NULL);
	debugfs_create_file("functions", 0200, directory, NULL, &functions_file);
	debugfs_create_file("arm", 0200, directory, NULL, &arm_file);
	debugfs_create_file("state", 0400, directory, NULL, &state_file);
	debugfs_create_file("chains", 0600, directory, NULL, &chains_file);
	return 0;
}

static void __exit faults_exit(void)
{
	debugfs_remove_recursive(directory);
	if (hook_count)
		unregister_ftrace_function(&ops);
	kvfree(hooks);
	kvfree(names);
	kvfree(names_text);
	vfree(chains);
}

module_init(faults_init);
module_exit(faults_exit);
MODULE_DESCRIPTION("Failed calls, allocations and block requests for errpath");
MODULE_LICENSE("GPL");
