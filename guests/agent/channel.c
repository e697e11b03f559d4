/* SPDX-License-Identifier: GPL-2.0-only */
/* The virtio-serial port and its frames. */
#include "agent.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PORT_NAME "errpath.agent"
#define FRAME_MAX (512u << 20)

int channel_open(void)
{
	const char *class = "/sys/class/virtio-ports";
	char path[512], name[64];
	struct dirent *entry;
	DIR *ports = opendir(class);

	if (!ports)
		return -errno;
	while ((entry = readdir(ports))) {
		snprintf(path, sizeof(path), "%s/%s/name", class, entry->d_name);
		if (read_text(path, name, sizeof(name)) < 0)
			continue;
		name[strcspn(name, "\n")] = '\0';
		if (strcmp(name, PORT_NAME) == 0) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			closedir(ports);
			int port = open(path, O_RDWR | O_CLOEXEC);
			return port < 0 ? -errno : port;
		}
	}
	closedir(ports);
	return -ENODEV;
}

static int read_all(int port, void *buffer, size_t size)
{
	uint8_t *at = buffer;

	while (size) {
		ssize_t got = read(port, at, size);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EPIPE;
		at += got;
		size -= got;
	}
	return 0;
}

static int write_all(int port, const void *buffer, size_t size)
{
	const uint8_t *at = buffer;

	while (size) {
		ssize_t put = write(port, at, size);
		if (put < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (put < 0)
			return -errno;
		at += put;
		size -= put;
	}
	return 0;
}

int channel_receive(int port, json_t **request, struct blob *in)
{
	uint32_t head[2];
	int error = read_all(port, head, sizeof(head));

	if (error)
		return error;
	uint32_t text_size = ntohl(head[0]);
	in->size = ntohl(head[1]);
	in->data = NULL;
	if (text_size > FRAME_MAX || in->size > FRAME_MAX)
		return -EMSGSIZE;
	char *text = malloc(text_size + 1);
	in->data = malloc(in->size + 1);
	if (!text || !in->data) {
		free(text);
		return -ENOMEM;
	}
	error = read_all(port, text, text_size);
	if (!error)
		error = read_all(port, in->data, in->size);
	if (!error) {
		*request = json_loadb(text, text_size, 0, NULL);
		if (!json_is_object(*request))
			error = -EBADMSG;
	}
	free(text);
	return error;
}

int channel_send(int port, json_t *message, const struct blob *out)
{
	size_t size = json_dumpb(message, NULL, 0, JSON_COMPACT);
	uint32_t head[2] = { htonl(size), htonl(out ? out->size : 0) };
	/* One write: each is a kick of the device, and waits until the host has taken it. */
	uint8_t *frame = size ? malloc(sizeof(head) + size) : NULL;

	if (!frame)
		return -ENOMEM;
	memcpy(frame, head, sizeof(head));
	json_dumpb(message, (char *)frame + sizeof(head), size, JSON_COMPACT);
	int error = write_all(port, frame, sizeof(head) + size);
	if (!error && out && out->size)
		error = write_all(port, out->data, out->size);
	free(frame);
	return error;
}
