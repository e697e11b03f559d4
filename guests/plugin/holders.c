// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU's TCG: what a case does to a piece of memory. One of:
 *
 * at=ADDRESS,size=BYTES: who holds a pointer into an object, and who let go of it. After every store
 * of the guest's kernel it looks at the word that was stored to. A word that now points into the
 * object is a holder; a holder that no longer does has let go.
 *
 * word=ADDRESS: who stores to these eight bytes.
 *
 * pc=ADDRESS alone: what the kernel loaded last before it came to an instruction.
 *
 * Each change is one record with the call stack, which is kept from the instructions that change it:
 * for every stack the address at which each return address lies, and what was called from where. A
 * push or a call shows where the stack pointer is; what lies below it is dropped. With pc= a record
 * tells each time that the instruction is about to be executed; once=on, the first time only;
 * end=ADDRESS, not after the instruction there was executed.
 *
 * Further arguments: ram=FD (the guest's RAM, inherited), out=FILE.
 * Records: struct record below, in the order of the changes. Of loads, those of the last time alone.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* QEMU's plugin API, version 1, as far as it is used here (docs/devel/tcg-plugins). */
typedef uint64_t plugin_id;
typedef void (*tb_callback)(plugin_id id, void *tb);
typedef void (*mem_callback)(unsigned int vcpu, uint32_t info, uint64_t address, void *data);
typedef void (*exec_callback)(unsigned int vcpu, void *data);

enum { MEM_WRITE = 2, MEM_BOTH = 3 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, tb_callback callback);
extern size_t qemu_plugin_tb_n_insns(const void *tb);
extern void *qemu_plugin_tb_get_insn(const void *tb, size_t index);
extern const void *qemu_plugin_insn_data(const void *insn);
extern size_t qemu_plugin_insn_size(const void *insn);
extern uint64_t qemu_plugin_insn_vaddr(const void *insn);
extern void qemu_plugin_register_vcpu_mem_cb(void *insn, mem_callback callback, int flags, int rw,
					     void *data);
extern void qemu_plugin_register_vcpu_insn_exec_cb(void *insn, exec_callback callback, int flags,
						   void *data);
extern void *qemu_plugin_get_hwaddr(uint32_t info, uint64_t address);
extern bool qemu_plugin_hwaddr_is_io(const void *hwaddr);
extern uint64_t qemu_plugin_hwaddr_phys_addr(const void *hwaddr);
extern unsigned int qemu_plugin_mem_size_shift(uint32_t info);
extern bool qemu_plugin_mem_is_store(uint32_t info);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;
__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info,
							       int argc, char **argv);

/* Where the kernel's half of the address space begins. */
#define KERNEL 0xffff800000000000ull
/* Bytes of a kernel stack (THREAD_SIZE), and frames kept of one. */
#define STACK_BITS 14
#define DEPTH 64
#define STACKS 4096
/* Bytes that a jump out of a function goes at least. */
#define FAR 2048
/* Frames of a record. */
#define FRAMES 32
/* Loads that are remembered. */
#define LOADS 2048

struct frame {
	/* Where the return address lies, and the call instruction. */
	uint64_t at, pc;
	/* The last jump since then: a tail call, where it left its function. */
	uint64_t jump;
};

struct stack {
	uint64_t region;
	unsigned int depth;
	struct frame frames[DEPTH];
};

enum what { GONE, HELD, STORED, LOADED, REACHED };

struct load {
	uint64_t pc, address, value, stack;
};

struct record {
	/* Of enum what. */
	uint32_t what;
	uint32_t frames;
	/* The instruction that stored, and the word: its address and its contents now. */
	uint64_t pc, address, value;
	/* The region of the stack in use: its address divided by its size. */
	uint64_t stack;
	/* Call instructions, innermost first, and the last jump behind each. */
	uint64_t calls[FRAMES], jumps[FRAMES];
};

static uint64_t object, object_size, word, reached, ram_size;
/* Reached, the instruction is of no interest any more. */
static uint64_t end_of_interest;
static bool once, done;
static struct load loads[LOADS];
static uint64_t load_count;
static const uint8_t *ram;
/* A bit for each word of the RAM: it is a holder. */
static uint64_t *holders;
static struct stack stacks[STACKS];
/* Of which nothing is known. */
static struct stack nowhere;
static struct stack *current = &nowhere;
static FILE *out;

static struct stack *stack_of(uint64_t address)
{
	uint64_t region = address >> STACK_BITS;
	/* Neighbours must not share a place: they would take each other's frames. */
	struct stack *stack = &stacks[region * 0x9e3779b97f4a7c15ull >> 52];

	if (stack->region != region) {
		stack->region = region;
		stack->depth = 0;
	}
	return stack;
}

static void unwind_to(struct stack *stack, uint64_t address)
{
	while (stack->depth && stack->frames[stack->depth - 1].at <= address)
		stack->depth--;
}

static void on_call(unsigned int vcpu, uint32_t info, uint64_t address, void *data)
{
	struct stack *stack = stack_of(address);

	(void)vcpu;
	(void)info;
	current = stack;
	unwind_to(stack, address);
	if (stack->depth == DEPTH) {
		/* The outermost ones matter least. */
		memmove(&stack->frames[0], &stack->frames[1], (DEPTH - 1) * sizeof(struct frame));
		stack->depth--;
	}
	stack->frames[stack->depth++] = (struct frame){ address, (uint64_t)data, 0 };
}

/* Not every QEMU reports the read of a return address, so that it pops what was pushed last. */
static void on_return(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	if (current->depth)
		current->depth--;
}

/* The stack pointer is loaded: which stack that is the next push or call shows. */
static void on_switch(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	current = &nowhere;
}

static void on_push(unsigned int vcpu, uint32_t info, uint64_t address, void *data)
{
	(void)vcpu;
	(void)info;
	(void)data;
	current = stack_of(address);
	unwind_to(current, address);
}

static void on_jump(unsigned int vcpu, void *data)
{
	(void)vcpu;
	if (current->depth)
		current->frames[current->depth - 1].jump = (uint64_t)data;
}

static void write_record(enum what what, uint64_t pc, uint64_t address, uint64_t value)
{
	struct record record = {
		.what = what,
		.pc = pc,
		.address = address,
		.value = value,
		.stack = current->region,
	};
	unsigned int n = current->depth;

	while (n && record.frames < FRAMES) {
		record.calls[record.frames] = current->frames[--n].pc;
		record.jumps[record.frames++] = current->frames[n].jump;
	}
	fwrite(&record, sizeof(record), 1, out);
	/* QEMU may be killed at any time. */
	fflush(out);
}

static void on_load(unsigned int vcpu, uint32_t info, uint64_t address, void *data)
{
	void *hwaddr = qemu_plugin_get_hwaddr(info, address);
	uint64_t physical, size = 1u << qemu_plugin_mem_size_shift(info);
	struct load *load;

	(void)vcpu;
	/* QEMU 7.2 mixes up what a callback of reads or of writes alone is for. */
	if (qemu_plugin_mem_is_store(info) || address < KERNEL || !hwaddr ||
	    qemu_plugin_hwaddr_is_io(hwaddr))
		return;
	physical = qemu_plugin_hwaddr_phys_addr(hwaddr);
	if (size > 8 || physical + size > ram_size)
		return;
	load = &loads[load_count++ % LOADS];
	*load = (struct load){ (uint64_t)data, address, 0, current->region };
	memcpy(&load->value, ram + physical, size);
}

/* The instruction is about to be executed. */
static void on_reached(unsigned int vcpu, void *data)
{
	(void)vcpu;
	if (done)
		return;
	if (!object && !word) {
		uint64_t first = load_count > LOADS ? load_count - LOADS : 0;

		/* Only what comes before the last time is wanted. */
		rewind(out);
		for (uint64_t n = first; n < load_count; n++) {
			struct load *load = &loads[n % LOADS];
			struct record record = {
				.what = LOADED,
				.pc = load->pc,
				.address = load->address,
				.value = load->value,
				.stack = load->stack,
			};

			fwrite(&record, sizeof(record), 1, out);
		}
	}
	write_record(REACHED, (uint64_t)data, 0, 0);
	if (!object && !word && ftruncate(fileno(out), ftell(out)))
		abort();
	done = once;
}

static void on_end(unsigned int vcpu, void *data)
{
	(void)vcpu;
	(void)data;
	done = true;
}

static void on_word(uint64_t address, uint64_t end, uint64_t pc, uint64_t physical)
{
	uint64_t value;

	if (address >= word + 8 || end <= word)
		return;
	/* The word as a whole: a store may be of a part of it. */
	physical += word - address;
	if (physical + 8 > ram_size)
		return;
	memcpy(&value, ram + physical, sizeof(value));
	write_record(STORED, pc, word, value);
}

static void on_store(unsigned int vcpu, uint32_t info, uint64_t address, void *data)
{
	void *hwaddr = qemu_plugin_get_hwaddr(info, address);
	uint64_t physical, end, value, bit;

	(void)vcpu;
	if (!qemu_plugin_mem_is_store(info) || !hwaddr || qemu_plugin_hwaddr_is_io(hwaddr))
		return;
	physical = qemu_plugin_hwaddr_phys_addr(hwaddr);
	end = physical + (1u << qemu_plugin_mem_size_shift(info));
	if (word) {
		on_word(address, address + (end - physical), (uint64_t)data, physical);
		return;
	}
	address -= physical & 7;
	for (physical &= ~7ull; physical < end; physical += 8, address += 8) {
		bool held, before;

		if (physical + 8 > ram_size)
			return;
		memcpy(&value, ram + physical, sizeof(value));
		/* What is on the stack goes by itself. */
		if (address >> STACK_BITS == current->region)
			continue;
		held = value - object < object_size;
		bit = 1ull << (physical >> 3 & 63);
		before = holders[physical >> 9] & bit;
		if (held == before)
			continue;
		holders[physical >> 9] ^= bit;
		write_record(held, (uint64_t)data, address, value);
	}
}

enum kind { OTHER, CALL, RETURN, JUMP, PUSH, SWITCH };

static enum kind kind_of(const uint8_t *code, size_t size)
{
	uint8_t rex = 0;

	/* Prefixes that the kernel's code has. */
	while (size > 1 && (code[0] == 0x2e || code[0] == 0x3e || code[0] == 0xf3 ||
			    (code[0] & 0xf0) == 0x40)) {
		if ((code[0] & 0xf0) == 0x40)
			rex = code[0];
		code++;
		size--;
	}
	if (code[0] == 0xe8 || (code[0] == 0xff && size > 1 && (code[1] >> 3 & 7) == 2))
		return CALL;
	if (code[0] == 0xc3 || code[0] == 0xc2)
		return RETURN;
	if (code[0] == 0xe9) {
		int32_t distance;

		/* Short ones stay in their function, and would hide those that do not. */
		memcpy(&distance, code + 1, sizeof(distance));
		return distance > FAR || distance < -FAR ? JUMP : OTHER;
	}
	if ((code[0] & 0xf8) == 0x50)
		return PUSH;
	/* pop %rsp; iretq; mov to %rsp from memory, and from a register. */
	if ((code[0] == 0x5c && !(rex & 1)) || (code[0] == 0xcf && rex & 8))
		return SWITCH;
	if (size > 1 && rex & 8 && code[0] == 0x8b && (code[1] >> 3 & 7) == 4 && !(rex & 4))
		return SWITCH;
	if (size > 1 && rex & 8 && code[0] == 0x89 && (code[1] & 0xc7) == 0xc4 && !(rex & 1))
		return SWITCH;
	return OTHER;
}

static void on_translation(plugin_id id, void *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);

	(void)id;
	for (size_t i = 0; i < n; i++) {
		void *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t pc = qemu_plugin_insn_vaddr(insn);

		if (pc < KERNEL)
			continue;
		if (pc == end_of_interest)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_end, 0, NULL);
		if (pc == reached)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_reached, 0, (void *)pc);
		if (!object && !word)
			qemu_plugin_register_vcpu_mem_cb(insn, on_load, 0, MEM_BOTH, (void *)pc);
		switch (kind_of(qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn))) {
		case CALL:
			qemu_plugin_register_vcpu_mem_cb(insn, on_call, 0, MEM_WRITE, (void *)pc);
			break;
		case RETURN:
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_return, 0, NULL);
			break;
		case JUMP:
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_jump, 0, (void *)pc);
			break;
		case PUSH:
			qemu_plugin_register_vcpu_mem_cb(insn, on_push, 0, MEM_WRITE, NULL);
			break;
		case SWITCH:
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_switch, 0, NULL);
			qemu_plugin_register_vcpu_mem_cb(insn, on_store, 0, MEM_WRITE, (void *)pc);
			break;
		case OTHER:
			qemu_plugin_register_vcpu_mem_cb(insn, on_store, 0, MEM_WRITE, (void *)pc);
		}
	}
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	const char *path = NULL;
	struct stat status;
	int fd = -1;

	(void)info;
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			return -1;
		*value++ = '\0';
		if (!strcmp(argv[i], "ram"))
			fd = atoi(value);
		else if (!strcmp(argv[i], "at"))
			object = strtoull(value, NULL, 0);
		else if (!strcmp(argv[i], "size"))
			object_size = strtoull(value, NULL, 0);
		else if (!strcmp(argv[i], "word"))
			word = strtoull(value, NULL, 0);
		else if (!strcmp(argv[i], "pc"))
			reached = strtoull(value, NULL, 0);
		else if (!strcmp(argv[i], "end"))
			end_of_interest = strtoull(value, NULL, 0);
		else if (!strcmp(argv[i], "once"))
			once = !strcmp(value, "on");
		else if (!strcmp(argv[i], "out"))
			path = value;
		else
			return -1;
	}
	if (!path || !(object ? object_size : word | reached) || fstat(fd, &status))
		return -1;
	ram_size = status.st_size;
	ram = mmap(NULL, ram_size, PROT_READ, MAP_SHARED, fd, 0);
	holders = calloc(ram_size / 512 + 1, sizeof(*holders));
	out = fopen(path, "wb");
	if (ram == MAP_FAILED || !holders || !out)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	return 0;
}
