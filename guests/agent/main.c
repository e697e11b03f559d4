/* SPDX-License-Identifier: GPL-2.0-only */
/* Process 1 mounts and supervises; the agent that it starts answers the host until it hangs up. */
#include "agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static int verb_ping(struct call *call)
{
	(void)call;
	return 0;
}

static const struct {
	const char *name;
	verb_fn run;
} VERBS[] = {
	{ "case.run", verb_case_run },
	{ "counts", verb_counts },
	{ "dmesg", verb_dmesg },
	{ "exec", verb_exec },
	{ "fault.clear", verb_fault_clear },
	{ "file.read", verb_file_read },
	{ "file.write", verb_file_write },
	{ "image.drop", verb_image_drop },
	{ "image.put", verb_image_put },
	{ "module.load", verb_module_load },
	{ "module.unload", verb_module_unload },
	{ "ping", verb_ping },
	{ "poweroff", verb_poweroff },
	{ "quiesce", verb_quiesce },
	{ "sleep", verb_sleep },
	{ "symbols", verb_symbols },
};

static int dispatch(struct call *call)
{
	const char *verb = json_string_value(json_object_get(call->request, "verb"));

	for (size_t i = 0; verb && i < ARRAY_SIZE(VERBS); i++)
		if (strcmp(VERBS[i].name, verb) == 0)
			return VERBS[i].run(call);
	snprintf(call->what, sizeof(call->what), "unknown verb %.200s", verb ? verb : "(none)");
	return -ENOSYS;
}

static int serve(int port)
{
	struct utsname system;

	uname(&system);
	json_t *hello = json_pack("{s:i, s:s}", "hello", 1, "release", system.release);
	int error = channel_send(port, hello, NULL);
	json_decref(hello);
	while (!error) {
		struct call call = { .reply = json_object() };
		error = channel_receive(port, &call.request, &call.in);
		if (!error) {
			int failed = dispatch(&call);
			json_object_set(call.reply, "id", json_object_get(call.request, "id"));
			if (failed)
				json_object_set_new(call.reply, "error",
						    json_pack("{s:i, s:o}", "errno", -failed,
							      "what",
							      json_string_nocheck(call.what)));
			else
				json_object_set_new(call.reply, "ok", json_true());
			error = channel_send(port, call.reply, failed ? NULL : &call.out);
		}
		json_decref(call.request);
		json_decref(call.reply);
		free(call.in.data);
		free(call.out.data);
	}
	return error;
}

static int agent_main(void)
{
	signal(SIGPIPE, SIG_IGN);
	int port = channel_open();
	if (port < 0) {
		printf("errpath: no virtio-serial port: %s\n", strerror(-port));
		return 1;
	}
	printf("errpath: agent ready\n");
	int error = serve(port);
	printf("errpath: channel: %s\n", strerror(-error));
	return 1;
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (getpid() != 1) {
		fprintf(stderr, "errpath: this is the init of a guest; expected to be process 1\n");
		return 1;
	}
	init_mounts();
	init_supervise(agent_main);
}
