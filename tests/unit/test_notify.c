/*
 * The status line, received by a socket that stands in for systemd's (sd_notify(3)).
 */
#include "proxy/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static int systemd;

/* "" where nothing came. */
static const char *received(void)
{
    static char text[4096];
    ssize_t len = recv(systemd, text, sizeof text - 1, MSG_DONTWAIT);

    text[len > 0 ? len : 0] = '\0';
    return text;
}

/* clang-format off */
static const struct {
    const char *name;
    struct notify_facts facts;
    const char *status;
} cases[] = {
    {"all is well", {.streams = 12, .rooms = 3, .kept = 1, .service = "", .state = "", .fence = ""},
     "STATUS=12 streams, 3 rooms (1 kept)"},
    {"the account is refused", {.service = "not-authorized", .state = "", .fence = ""},
     "STATUS=0 streams, 0 rooms (0 kept); lobby users are refused, the service account is not logged in: "
     "not-authorized"},
    {"the state file is of no use", {.streams = 1, .service = "", .state = "it is damaged", .fence = ""},
     "STATUS=1 streams, 0 rooms (0 kept); persistence is off, state.file: it is damaged"},
    {"nor the rooms' file", {.streams = 1, .service = "", .state = "it is damaged", .fence = "cannot be opened"},
     "STATUS=1 streams, 0 rooms (0 kept); persistence is off, state.file: it is damaged; instances do not keep "
     "out of each other's rooms: cannot be opened"},
    {"Prosody is gone", {.is_prosody_down = true, .service = "", .state = "", .fence = ""},
     "STATUS=0 streams, 0 rooms (0 kept); clients are refused: Prosody cannot be reached"},
    {"it stops", {.streams = 7, .is_stopping = true, .service = "", .state = "", .fence = ""},
     "STATUS=Stopping: 7 streams, 0 rooms (0 kept)"},
    {"no line of somebody else's", {.service = "a\nREADY=0\xc3", .state = "", .fence = ""},
     "STATUS=0 streams, 0 rooms (0 kept); lobby users are refused, the service account is not logged in: "
     "a?READY=0?"},
};
/* clang-format on */

static void test_status(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        notify_status(&cases[i].facts);
        if (strcmp(received(), cases[i].status) != 0)
            fail_msg("%s", cases[i].name);
        notify_status(&cases[i].facts);
        assert_string_equal(received(), ""); /* nothing new */
    }
}

static void test_long(void **state)
{
    char problem[2000];
    const struct notify_facts facts = {.service = "", .state = problem, .fence = problem};

    memset(problem, 'x', sizeof problem - 1);
    problem[sizeof problem - 1] = '\0';
    notify_status(&facts);
    assert_int_equal(strlen(received()), strlen("STATUS=") + 1023);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_long),
    };
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/vestibule-notify-XXXXXX";
    int failed;

    systemd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (systemd < 0 || !mkdtemp(folder))
        return 1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/notify", folder);
    if (bind(systemd, (struct sockaddr *)&address, sizeof address) != 0 ||
        setenv("NOTIFY_SOCKET", address.sun_path, 1) != 0)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(address.sun_path);
    rmdir(folder);
    close(systemd);
    return failed;
}
