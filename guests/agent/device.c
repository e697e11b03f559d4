/* SPDX-License-Identifier: GPL-2.0-only */
/* Images in tmpfs and the loop devices that serve them to a mount. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A block node of the major and minor that a case names, whether or not a driver has them. */
#define NODE "/dev/errpath-node"
/* Links to a case's further devices, by the names that it gives them. */
#define NAMED "/dev/errpath"

static void image_path(char *path, size_t size, const char *id)
{
	snprintf(path, size, "/images/%s", id);
}

/* Takes the extents' bytes from the front of `rest`. */
static int write_extents(int file, json_t *extents, struct blob *rest)
{
	json_t *extent;
	size_t i;

	json_array_foreach(extents, i, extent) {
		json_int_t offset = json_integer_value(json_array_get(extent, 0));
		size_t length = json_integer_value(json_array_get(extent, 1));
		if (length > rest->size)
			return -EBADMSG;
		/* A short write sets no errno. */
		ssize_t put = pwrite(file, rest->data, length, offset);
		if (put != (ssize_t)length)
			return put < 0 ? -errno : -ENOSPC;
		rest->data += length;
		rest->size -= length;
	}
	return 0;
}

/* {"image": id, "size": bytes, "extents": [[offset, length], …]} and the extents' bytes. */
int verb_image_put(struct call *call)
{
	const char *id = json_string_value(json_object_get(call->request, "image"));
	json_int_t size = json_integer_value(json_object_get(call->request, "size"));
	char path[300];

	if (!id || strchr(id, '/') || strlen(id) > 200) {
		snprintf(call->what, sizeof(call->what), "image id: expected a plain name");
		return -EINVAL;
	}
	image_path(path, sizeof(path), id);
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error = file < 0 ? -errno : 0;
	if (!error && ftruncate(file, size) != 0)
		error = -errno;
	struct blob rest = call->in;
	if (!error)
		error = write_extents(file, json_object_get(call->request, "extents"), &rest);
	if (!error && rest.size != 0)
		error = -EBADMSG;
	if (file >= 0)
		close(file);
	if (error)
		snprintf(call->what, sizeof(call->what), "image %s", id);
	return error;
}

int verb_image_drop(struct call *call)
{
	const char *id = json_string_value(json_object_get(call->request, "image"));
	char path[300];

	image_path(path, sizeof(path), id ? id : "");
	if (unlink(path) != 0) {
		snprintf(call->what, sizeof(call->what), "image %s", id ? id : "(none)");
		return -errno;
	}
	return 0;
}

static int copy_range(int from, int to, off_t at, off_t end)
{
	char buffer[65536];

	while (at < end) {
		size_t want = end - at < (off_t)sizeof(buffer) ? end - at : (off_t)sizeof(buffer);
		ssize_t got = pread(from, buffer, want, at);
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		ssize_t put = pwrite(to, buffer, got, at);
		if (put != got)
			return put < 0 ? -errno : -ENOSPC;
		at += got;
	}
	return 0;
}

/* The data of a file to another; holes stay holes. */
static int copy_data(int from, int to)
{
	off_t at = 0;
	int error = 0;

	while (!error) {
		at = lseek(from, at, SEEK_DATA);
		off_t end = at < 0 ? at : lseek(from, at, SEEK_HOLE);
		if (at < 0 && errno == ENXIO)
			break;
		error = at < 0 || end < 0 ? -errno : copy_range(from, to, at, end);
		at = end;
	}
	return error;
}

/*
 * A fresh copy for every mount: even a read-only looking mount may write (an unclean HFS volume
 * keeps its UNMNT bit cleared).
 */
static int copy_image(const char *id, const char *path)
{
	char from_path[300];

	image_path(from_path, sizeof(from_path), id);
	int from = open(from_path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return -errno;
	int to = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int error = to < 0 ? -errno : 0;
	off_t size = lseek(from, 0, SEEK_END);

	if (!error && (size < 0 || ftruncate(to, size) != 0))
		error = -errno;
	if (!error)
		error = copy_data(from, to);
	close(from);
	if (error && to >= 0)
		close(to);
	return error ? error : to;
}

/* What a device holds before the case, in a file that has no name any more: or -errno. */
static int prepare_backing(json_t *spec, const char *path, struct blob *rest)
{
	json_t *size = json_object_get(spec, "size"), *extents = json_object_get(spec, "extents");
	int file = copy_image(json_string_value(json_object_get(spec, "image")), path);
	int error = 0;

	if (file < 0)
		return file;
	unlink(path);
	if (size && ftruncate(file, json_integer_value(size)) != 0)
		error = -errno;
	if (!error && extents)
		error = write_extents(file, extents, rest);
	/* Whoever writes to the device from now on leaves another time behind. */
	const struct timespec never[2] = { { 0 }, { 0 } };
	if (!error && futimens(file, never) != 0)
		error = -errno;
	if (error)
		close(file);
	return error ? error : file;
}

int device_original(struct call *call)
{
	struct blob rest = call->in;

	return prepare_backing(json_object_get(call->request, "device"), "/images/.before", &rest);
}

int device_written(int backing)
{
	struct stat stat;

	if (fstat(backing, &stat) != 0)
		return -errno;
	return stat.st_mtim.tv_sec != 0 || stat.st_mtim.tv_nsec != 0;
}

static int detach(struct device *device)
{
	int busy = 0;

	if (device->held >= 0)
		close(device->held);
	device->held = -1;
	if (device->sized >= 0)
		close(device->sized);
	device->sized = -1;
	if (device->backing >= 0)
		close(device->backing);
	device->backing = -1;
	if (device->number < 0)
		return 0;
	int loop = open(device->path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (loop < 0) {
		busy = -errno;
		loop = open(device->path, O_RDONLY | O_CLOEXEC);
	}
	int error = loop < 0 || ioctl(loop, LOOP_CLR_FD) != 0 ? -errno : 0;
	if (loop >= 0)
		close(loop);
	device->number = -1;
	return busy ? busy : error;
}

/*
 * {"image": id, "size": bytes, "extents": [...] (bytes from the call's blob), "readonly": bool,
 *  "held": bool, "block_size": bytes, "soft_block_size": bytes} or {"node": [major, minor]} or
 *  {} for no device at all.
 */
static int attach(struct call *call, json_t *spec, struct blob *rest, struct device *device)
{
	const char *id = json_string_value(json_object_get(spec, "image"));
	struct loop_config config = { 0 };
	int error = 0;

	*device = (struct device){ .number = -1, .held = -1, .sized = -1, .backing = -1 };
	if (!id) {
		json_t *node = json_object_get(spec, "node");
		snprintf(device->path, sizeof(device->path), "%s", node ? NODE : "none");
		if (!node)
			return 0;
		unlink(NODE);
		snprintf(call->what, sizeof(call->what), "mknod " NODE);
		return mknod(NODE, S_IFBLK | 0600,
			     makedev(json_integer_value(json_array_get(node, 0)),
				     json_integer_value(json_array_get(node, 1)))) != 0
			       ? -errno
			       : 0;
	}
	snprintf(call->what, sizeof(call->what), "loop device for image %s", id);
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -errno;
	int number = ioctl(control, LOOP_CTL_GET_FREE);
	error = number < 0 ? -errno : 0;
	close(control);
	if (error)
		return error;
	snprintf(device->path, sizeof(device->path), "/dev/loop%d", number);

	char copy[64];
	snprintf(copy, sizeof(copy), "/images/.loop%d", number);
	int file = prepare_backing(spec, copy, rest);
	if (file < 0)
		return file;
	int loop = open(device->path, O_RDWR | O_CLOEXEC);
	if (!error && loop < 0)
		error = -errno;
	config.fd = file;
	config.block_size = json_integer_value(json_object_get(spec, "block_size"));
	if (!error && ioctl(loop, LOOP_CONFIGURE, &config) != 0)
		error = -errno;
	device->backing = file;
	if (!error)
		device->number = number;
	/* Always set: the flag of an earlier case stays with the loop device. */
	int readonly = json_is_true(json_object_get(spec, "readonly"));
	if (!error && ioctl(loop, BLKROSET, &readonly) != 0)
		error = -errno;
	/* The size is forgotten when nobody has the device open. */
	int soft = json_integer_value(json_object_get(spec, "soft_block_size"));
	if (!error && soft && ioctl(loop, BLKBSZSET, &soft) != 0)
		error = -errno;
	if (!error && soft)
		device->sized = loop;
	else if (loop >= 0)
		close(loop);
	if (!error && json_is_true(json_object_get(spec, "held"))) {
		device->held = open(device->path, O_RDONLY | O_EXCL | O_CLOEXEC);
		if (device->held < 0)
			error = -errno;
	}
	if (error)
		detach(device);
	return error;
}

int device_keep(const struct device *device)
{
	struct stat stat;

	if (device->backing < 0 || fstat(device->backing, &stat) != 0)
		return -ENODEV;
	int kept = memfd_create("kept", MFD_CLOEXEC);
	int error = kept < 0 || ftruncate(kept, stat.st_size) != 0 ? -errno : 0;

	if (!error)
		error = copy_data(device->backing, kept);
	if (error && kept >= 0)
		close(kept);
	return error ? error : kept;
}

int device_restore(const struct device *device, int kept)
{
	/* Whoever has it open would go on with what it has read. */
	int loop = open(device->path, O_RDONLY | O_EXCL | O_CLOEXEC);
	int error = loop < 0 ? -errno : 0;
	struct stat stat;

	if (!error && (fstat(kept, &stat) != 0 ||
		       fallocate(device->backing, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				 stat.st_size) != 0))
		error = -errno;
	if (!error)
		error = copy_data(kept, device->backing);
	if (loop >= 0)
		close(loop);
	return error;
}

/* An extra device under its name. */
static int attach_named(struct call *call, json_t *spec, struct blob *rest, struct named *named)
{
	const char *name = json_string_value(json_object_get(spec, "name"));
	int error = attach(call, spec, rest, &named->device);

	if (error)
		return error;
	snprintf(named->link, sizeof(named->link), NAMED "/%.32s", name ? name : "");
	unlink(named->link);
	if (symlink(named->device.path, named->link) != 0) {
		error = -errno;
		snprintf(call->what, sizeof(call->what), "name %s", named->link);
		detach(&named->device);
	}
	return error;
}

int devices_attach(struct call *call, struct devices *devices)
{
	json_t *others = json_object_get(call->request, "devices"), *spec;
	struct blob rest = call->in;
	size_t i;
	int error;

	devices->count = 0;
	if (json_array_size(others) > DEVICES_MAX) {
		snprintf(call->what, sizeof(call->what),
			 "devices: expected at most %d beside the first", DEVICES_MAX);
		return -EINVAL;
	}
	error = attach(call, json_object_get(call->request, "device"), &rest, &devices->first);
	if (error)
		return error;
	if (others && mkdir(NAMED, 0755) != 0 && errno != EEXIST)
		error = -errno;
	json_array_foreach(others, i, spec) {
		if (!error)
			error = attach_named(call, spec, &rest, &devices->others[i]);
		devices->count += !error;
	}
	if (!error && rest.size != 0)
		error = -EBADMSG;
	if (error)
		devices_detach(devices);
	return error;
}

int devices_detach(struct devices *devices)
{
	int error = detach(&devices->first);

	while (devices->count > 0) {
		struct named *named = &devices->others[--devices->count];
		int other = detach(&named->device);

		unlink(named->link);
		error = error ? error : other;
	}
	return error;
}
