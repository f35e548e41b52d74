/*
 * A test's own name server, without a port or a file of the machine: what the program asks
 * getaddrinfo() goes over a unix socket to lib/lookups.js, which answers when it likes. One
 * connection a name; an address comes back, or the end: no such name.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Of a test (RFC 6761 section 6.2); all others are the machine's. */
#define SUFFIX ".test"

typedef int lookup(const char *node, const char *service, const struct addrinfo *hints,
                   struct addrinfo **ret);

/* What came, 0 for no such name, -1 where nobody is there to be asked. */
static ssize_t ask(const char *node, char *to, size_t cap)
{
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    const char *path = getenv("LOOKUPS");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t len = -1;

    if (fd >= 0 && path && strlen(path) < sizeof place.sun_path) {
        memcpy(place.sun_path, path, strlen(path));
        if (connect(fd, (struct sockaddr *)&place, sizeof place) == 0 &&
            send(fd, node, strlen(node), MSG_NOSIGNAL) > 0)
            len = recv(fd, to, cap - 1, 0);
    }
    if (fd >= 0)
        close(fd);
    to[len > 0 ? len : 0] = '\0';
    return len;
}

int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
    lookup *next;
    size_t len = node ? strlen(node) : 0;
    char address[64];
    ssize_t answer;

    *(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
    if (len < sizeof SUFFIX || strcmp(node + len - strlen(SUFFIX), SUFFIX) != 0)
        return next(node, service, hints, ret);
    answer = ask(node, address, sizeof address);
    if (answer <= 0)
        return answer == 0 ? EAI_NONAME : EAI_AGAIN;
    return next(address, service, hints, ret);
}
