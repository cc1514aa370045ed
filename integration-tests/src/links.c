/* Preloaded into a process, sends its connections to ports of this machine elsewhere: TEST_LINKS has pairs of
   ports, as in 9092=40001,6379=40002. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

static unsigned long elsewhere(unsigned long port) {
    const char *pairs = getenv("TEST_LINKS");
    while (pairs && *pairs) {
        char *end;
        unsigned long from = strtoul(pairs, &end, 10);
        unsigned long to = *end == '=' ? strtoul(end + 1, &end, 10) : 0;
        if (from == port) return to;
        pairs = *end ? end + 1 : end;
    }
    return 0;
}

int connect(int fd, const struct sockaddr *address, socklen_t length) {
    int (*next)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    if (address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in moved = *(const struct sockaddr_in *)address;
        unsigned long port = elsewhere(ntohs(moved.sin_port));
        if (port) {
            moved.sin_port = htons((unsigned short)port);
            return next(fd, (struct sockaddr *)&moved, sizeof moved);
        }
    }
    return next(fd, address, length);
}
