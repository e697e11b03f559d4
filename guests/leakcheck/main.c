/* SPDX-License-Identifier: GPL-2.0-only */
#define _GNU_SOURCE
#include "leakcheck.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char USAGE[] =
	"usage: errpath-leakcheck [--ktap] [--kmsg] [--state FILE] begin NAME\n"
	"       errpath-leakcheck [--ktap] [--kmsg] [--state FILE] end\n"
	"       errpath-leakcheck [--ktap] [--kmsg] run NAME -- PROGRAM [ARGUMENT ...]\n"
	"\n"
	"Tells whether kernel memory was lost between `begin` and `end`, or while PROGRAM ran.\n"
	"Status: 0 clean, 1 leaked, 2 no verdict (the text says why). `run` gives the status of\n"
	"PROGRAM if that is not 0. --ktap writes KTAP, --kmsg also writes a leak to the kernel "
	"log.\n";

struct options {
	struct report_options report;
	const char *state; /* path */
};

static int usage(const char *wrong)
{
	fprintf(stderr, "errpath-leakcheck: %s\n%s", wrong, USAGE);
	return NO_VERDICT;
}

/* A guest of busybox may have no more than /dev. */
static const char *default_state(void)
{
	if (access("/run", W_OK) == 0)
		return "/run/errpath-leakcheck";
	return access("/tmp", W_OK) == 0 ? "/tmp/errpath-leakcheck" : "/dev/errpath-leakcheck";
}

/* A name is one line, and `#` begins a directive of KTAP. */
static void set_name(struct state *state, const char *name)
{
	snprintf(state->name, sizeof(state->name), "%s", name);
	for (char *at = state->name; *at; at++)
		if ((unsigned char)*at < ' ' || *at == '#' || *at == 0x7f)
			*at = ' ';
}

static int begin(const struct options *options, const char *name)
{
	struct state state = { 0 };
	struct finding finding = { 0 };

	set_name(&state, name);
	check_begin(&state, &finding);
	if (finding.verdict == NO_VERDICT) {
		fprintf(stderr, "errpath-leakcheck: %s\n", finding.why);
	} else {
		int error = state_save(options->state, &state);
		if (error) {
			fprintf(stderr, "errpath-leakcheck: %s: %s\n", options->state,
				strerror(-error));
			finding.verdict = NO_VERDICT;
		}
	}
	records_free(&state.known);
	return finding.verdict;
}

static int end(const struct options *options)
{
	struct state state = { 0 };
	struct finding finding = { 0 };
	int error = state_take(options->state, &state);

	if (error) {
		set_name(&state, "errpath-leakcheck");
		finding.verdict = NO_VERDICT;
		snprintf(finding.why, sizeof(finding.why), "%s: %s",
			 error == -ENOENT ? "nothing was begun" : "what was begun cannot be read",
			 options->state);
	} else {
		check_end(&state, &finding);
	}
	report(&options->report, &state, &finding);
	records_free(&state.known);
	records_free(&finding.lost);
	return finding.verdict;
}

/* The status of a program as a shell gives it. */
static int run_program(char **argv)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		execvp(argv[0], argv);
		fprintf(stderr, "errpath-leakcheck: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return 126;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(const struct options *options, const char *name, char **argv)
{
	struct state state = { 0 };
	struct finding finding = { 0 };
	int status;

	set_name(&state, name);
	check_begin(&state, &finding);
	status = run_program(argv);
	if (finding.verdict != NO_VERDICT)
		check_end(&state, &finding);
	report(&options->report, &state, &finding);
	records_free(&state.known);
	records_free(&finding.lost);
	return status ? status : (int)finding.verdict;
}

int main(int argc, char **argv)
{
	static const struct option words[] = {
		{ "ktap", no_argument, NULL, 'k' },
		{ "kmsg", no_argument, NULL, 'm' },
		{ "state", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options options = { .state = default_state() };
	int word;

	while ((word = getopt_long(argc, argv, "+h", words, NULL)) != -1) {
		switch (word) {
		case 'k':
			options.report.ktap = true;
			break;
		case 'm':
			options.report.kmsg = true;
			break;
		case 's':
			options.state = optarg;
			break;
		case 'h':
			fputs(USAGE, stdout);
			return 0;
		default:
			fputs(USAGE, stderr);
			return NO_VERDICT;
		}
	}
	argc -= optind;
	argv += optind;
	if (argc == 2 && strcmp(argv[0], "begin") == 0)
		return begin(&options, argv[1]);
	if (argc == 1 && strcmp(argv[0], "end") == 0)
		return end(&options);
	if (argc >= 4 && strcmp(argv[0], "run") == 0 && strcmp(argv[2], "--") == 0)
		return run(&options, argv[1], argv + 3);
	return usage(argc ? "not a command" : "no command");
}
