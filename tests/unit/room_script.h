/*
 * A small language for the tests of policy/room*.c: a scenario is a list of steps, each an event and
 * what the rooms must do at it, no more and no less, in order.
 *
 * Events ("anna" is the client anna@d/x, "anna/2" another session of hers; the room is always the same
 * one):
 *   up | down | barred | unbarred  the service account; its login was refused, or may be tried again
 *   +MS                            time passes, then rooms_tick
 *   join NAME KIND [old]           guest, unjudged, lobby, plain, other-room; old: fresh_jid is false
 *   cancel NAME                    its last join
 *   enter NAME AFFILIATION | leave NAME | kick NAME | lobby NAME | unlobby NAME
 *   refused NAME [lobby]           407, with or without <lobbyroom/>
 *   unnamed NAME                   406
 *   104 [NAME] | info on|off|broken | destroyed | owner begin|end | adopt
 *   strangers COUNT                sessions that may be in any room
 *   suspend NAME MS | resume NAME | gone NAME
 *   shutdown [next|running]        who knows of the rooms then
 *   many MAX                       rooms_max
 *   taken | shared | free          another instance has the room alone, shares it, is out of it
 *   told                           has it alone and has told Prosody
 *   changed                        and changed it
 *   form on|off|none, roles [NAME:AFFILIATION ...], aff AFFILIATION, ok, error CONDITION, timeout,
 *   lost, unsent                   answers the oldest open request
 *   swap                           the oldest open request becomes the youngest
 *   oks                            answers ok to all open requests
 *   again                          repeats the last answer
 *   state TEXT | count N | persistent N | due MS   looked at, nothing happens
 * What is done:
 *   form roles submit[-off][+|-] aff:NAME grant:NAME owner:NAME none:NAME invite:NAME
 *   create[+] destroy
 *                                  requests: members-only off; persistent on, off
 *   NAME> | NAME!CONDITION         settled: forwarded, refused
 *   *on:COUNT *repaired *created *released *given *left *forgotten *failed *granted:NAME *no lobby *undone
 *                                  notes
 */
#pragma once

#include "policy/rooms.h"
#include "tests/unit/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ROOM "room@muc"
#define OPEN_MAX 256
#define JOINS_MAX 512
#define OCCUPANTS_MAX 200

struct script_step {
    const char *event, *expected;
};

#define STEPS(...) ((const struct script_step[]){__VA_ARGS__, {NULL, NULL}})

struct scenario {
    const char *name;
    const struct script_step *steps; /* up to an event NULL */
    bool is_create, not_persistent, forward_on_failure;
};

struct script {
    struct rooms *rooms;
    struct rooms_config config;
    int64_t now;
    char done[4096]; /* the actions of this step */
    uint64_t open[OPEN_MAX];
    size_t open_len;
    uint64_t answered;
    struct room_answer answer;
    char names[JOINS_MAX][32]; /* by join id - 1 */
    bool settled[JOINS_MAX];
    size_t joins;
    const char *where;
    enum room_fence other; /* another instance's */
    uint64_t changes;
};

static void script_did(struct script *script, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void script_did(struct script *script, const char *format, ...)
{
    size_t len = strlen(script->done);
    va_list arguments;

    if (len > 0 && len + 1 < sizeof(script->done)) {
        script->done[len++] = ' ';
    }
    va_start(arguments, format);
    vsnprintf(script->done + len, sizeof(script->done) - len, format, arguments);
    va_end(arguments);
}

/* The name in name@d. */
static const char *script_name(const char *jid)
{
    static char name[64];

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(jid, "@"), jid);
    return name;
}

static void script_request(void *ctx, const struct room_request *request)
{
    static const char *const kinds[] = {"form", "submit", "roles",  "aff",
                                        "grant", "invite", "create", "destroy"};
    struct script *script = ctx;

    assert_string_equal(request->room, ROOM);
    assert_true(script->open_len < OPEN_MAX);
    script->open[script->open_len++] = request->id;
    if (request->jid != NULL) {
        bool is_restored =
            request->kind == REQUEST_GRANT && strcmp(request->affiliation, "member") != 0;

        script_did(script, "%s:%s", is_restored ? request->affiliation : kinds[request->kind],
                   script_name(request->jid));
    } else {
        bool is_off = request->kind == REQUEST_SUBMIT && !request->membersonly;

        script_did(script, "%s%s%s", kinds[request->kind], is_off ? "-off" : "",
                   request->persistent == 1                                      ? "+"
                   : request->persistent == 0 && request->kind == REQUEST_SUBMIT ? "-"
                                                                                 : "");
    }
}

static void script_settle(void *ctx, uint64_t join, const struct room_verdict *verdict)
{
    struct script *script = ctx;

    assert_true(join >= 1 && join <= script->joins);
    assert_false(script->settled[join - 1]);
    script->settled[join - 1] = true;
    assert_non_null(verdict->rule);
    assert_non_null(verdict->reason);
    assert_true(verdict->held_ms >= 0);
    if (verdict->forward) {
        script_did(script, "%s>", script->names[join - 1]);
    } else {
        script_did(script, "%s!%s", script->names[join - 1], verdict->error_condition);
    }
}

static bool script_fence(void *ctx, const char *room, enum room_fence wanted, uint64_t *ret_changes)
{
    const struct script *script = ctx;

    if (wanted != FENCE_OPEN &&
        (script->other >= FENCE_NEXT ||
         (wanted == FENCE_ALONE && script->other != FENCE_OPEN))) {
        return false;
    }
    *ret_changes = script->changes;
    return true;
}

static bool script_is_changing(void *ctx, const char *room, uint64_t *ret_changes)
{
    const struct script *script = ctx;

    *ret_changes = script->changes;
    return script->other == FENCE_CHANGING;
}

static uint64_t script_changing(void *ctx, const char *room)
{
    struct script *script = ctx;

    return ++script->changes;
}

static void script_note(void *ctx, const struct room_note *note)
{
    static const char *const kinds[] = {"on",         "repaired", "created",   "released",
                                        "handed over", "given",   "left", "forgotten", "failed",
                                        "granted",    "no lobby", "undone"};
    struct script *script = ctx;

    assert_string_equal(note->room, ROOM);
    if (note->kind == ROOM_LOBBY_TURNED_ON) {
        script_did(script, "*on:%zu", note->count);
    } else if (note->kind == ROOM_GRANTED) {
        script_did(script, "*granted:%s", script_name(note->jid));
    } else {
        script_did(script, "*%s", kinds[note->kind]);
    }
}

static void script_answer(struct script *script, const struct room_answer *answer)
{
    if (script->open_len == 0) {
        fail_msg("%s: nothing to answer", script->where);
    }
    script->answered = script->open[0];
    script->answer = *answer;
    memmove(script->open, script->open + 1, --script->open_len * sizeof(script->open[0]));
    rooms_answer(script->rooms, script->answered, answer, script->now);
}

static void script_roles(struct script *script, char *list)
{
    struct room_occupant occupants[OCCUPANTS_MAX];
    static char jids[OCCUPANTS_MAX][64];
    struct room_answer answer = {.status = ANSWER_OK, .occupants = occupants};
    char *at = NULL, *item;

    for (item = strtok_r(list, " ", &at); item != NULL; item = strtok_r(NULL, " ", &at)) {
        char *colon = strchr(item, ':');
        size_t i = answer.occupants_len++;

        assert_non_null(colon);
        *colon = '\0';
        snprintf(jids[i], sizeof(jids[i]), "%s@d", item);
        occupants[i] = (struct room_occupant){item, jids[i], colon + 1};
    }
    script_answer(script, &answer);
}

/* Answers; false when the event is another. */
static bool script_answers(struct script *script, const char *verb, const char *rest)
{
    struct room_answer answer = {.status = ANSWER_OK};
    char list[4096];

    if (strcmp(verb, "form") == 0) {
        answer.form.has_membersonly = strcmp(rest, "none") != 0;
        answer.form.membersonly = strcmp(rest, "on") == 0;
    } else if (strcmp(verb, "roles") == 0) {
        snprintf(list, sizeof(list), "%s", rest);
        script_roles(script, list);
        return true;
    } else if (strcmp(verb, "aff") == 0) {
        answer.affiliation = rest;
    } else if (strcmp(verb, "error") == 0) {
        answer.status = ANSWER_ERROR;
        answer.condition = rest;
    } else if (strcmp(verb, "timeout") == 0) {
        answer.status = ANSWER_TIMEOUT;
    } else if (strcmp(verb, "lost") == 0) {
        answer.status = ANSWER_LOST;
    } else if (strcmp(verb, "unsent") == 0) {
        answer.status = ANSWER_UNSENT;
    } else if (strcmp(verb, "oks") == 0) {
        for (size_t n = script->open_len; n > 0; n--) {
            script_answer(script, &answer);
        }
        return true;
    } else if (strcmp(verb, "swap") == 0) {
        uint64_t oldest = script->open[0];

        memmove(script->open, script->open + 1, (script->open_len - 1) * sizeof(oldest));
        script->open[script->open_len - 1] = oldest;
        return true;
    } else if (strcmp(verb, "again") == 0) {
        rooms_answer(script->rooms, script->answered, &script->answer, script->now);
        return true;
    } else if (strcmp(verb, "ok") != 0) {
        return false;
    }
    script_answer(script, &answer);
    return true;
}

static void script_jid(char *jid, size_t size, const char *name)
{
    int bare = (int)strcspn(name, "/");

    snprintf(jid, size, "%.*s@d/%s", bare, name, name[bare] == '/' ? name + bare + 1 : "x");
}

static void script_join(struct script *script, const char *name, const char *rest)
{
    static const char *const kinds[] = {"guest", "unjudged", "lobby", "plain", "other-room"};
    char full[64], bare[64];
    struct room_join join = {.room = ROOM, .full_jid = full, .bare_jid = bare};
    unsigned kind = 0;

    script_jid(full, sizeof(full), name);
    snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(full, "/"), full);
    while (strncmp(rest, kinds[kind], strlen(kinds[kind])) != 0) {
        assert_true(++kind < 5);
    }
    assert_true(script->joins < JOINS_MAX);
    snprintf(script->names[script->joins], sizeof(script->names[0]), "%s", name);
    script->settled[script->joins] = false;
    join.id = ++script->joins;
    join.applicant = (enum applicant)kind;
    join.fresh_jid = strstr(rest, "old") == NULL;
    rooms_join(script->rooms, &join, script->now);
}

static void script_cancel(struct script *script, const char *name)
{
    size_t i = script->joins;

    while (i > 0 && strcmp(script->names[i - 1], name) != 0) {
        i--;
    }
    assert_true(i > 0);
    rooms_cancel(script->rooms, i, script->now);
}

/* Events about one client; false when the event is another. */
static bool script_client(struct script *script, const char *verb, const char *name,
                          const char *rest)
{
    struct rooms *rooms = script->rooms;
    int64_t now = script->now;
    char jid[64];

    script_jid(jid, sizeof(jid), name);
    if (strcmp(verb, "join") == 0) {
        script_join(script, name, rest);
    } else if (strcmp(verb, "cancel") == 0) {
        script_cancel(script, name);
    } else if (strcmp(verb, "enter") == 0) {
        rooms_entered(rooms, ROOM, jid, rest, now);
    } else if (strcmp(verb, "leave") == 0 || strcmp(verb, "kick") == 0) {
        rooms_left(rooms, ROOM, jid, verb[0] == 'k', now);
    } else if (strcmp(verb, "lobby") == 0) {
        rooms_lobby_entered(rooms, ROOM, jid, now);
    } else if (strcmp(verb, "unlobby") == 0) {
        rooms_lobby_left(rooms, ROOM, jid, now);
    } else if (strcmp(verb, "refused") == 0) {
        rooms_join_failed(rooms, ROOM, jid, "registration-required", rest[0] != '\0', now);
    } else if (strcmp(verb, "unnamed") == 0) {
        rooms_join_failed(rooms, ROOM, jid, "not-acceptable", false, now);
    } else if (strcmp(verb, "suspend") == 0) {
        rooms_suspended(rooms, jid, now + atoi(rest), now);
    } else if (strcmp(verb, "resume") == 0) {
        rooms_resumed(rooms, jid, now);
    } else if (strcmp(verb, "gone") == 0) {
        rooms_gone(rooms, jid, now);
    } else {
        return false;
    }
    return true;
}

/* Events about the room or the service. */
static bool script_room(struct script *script, const char *verb, const char *rest)
{
    struct rooms *rooms = script->rooms;
    char jid[64];
    struct muc_info info = {.membersonly = strcmp(rest, "off") != 0,
                            .has_lobbyroom = strcmp(rest, "on") == 0};

    if (strcmp(verb, "up") == 0) {
        rooms_service_up(rooms, script->now);
    } else if (strcmp(verb, "down") == 0) {
        rooms_service_down(rooms, script->now);
    } else if (strcmp(verb, "barred") == 0 || strcmp(verb, "unbarred") == 0) {
        rooms_service_refused(rooms, verb[0] == 'b' ? "barred" : NULL, script->now);
    } else if (verb[0] == '+') {
        script->now += atoi(verb + 1);
        rooms_tick(rooms, script->now);
    } else if (strcmp(verb, "104") == 0) {
        script_jid(jid, sizeof(jid), rest[0] == '\0' ? "somebody" : rest);
        rooms_config_changed(rooms, ROOM, jid, script->now);
    } else if (strcmp(verb, "info") == 0) {
        rooms_info(rooms, ROOM, &info, script->now);
    } else if (strcmp(verb, "destroyed") == 0) {
        rooms_destroyed(rooms, ROOM, script->now);
    } else if (strcmp(verb, "owner") == 0) {
        rooms_owner_set(rooms, ROOM, strcmp(rest, "end") == 0, script->now);
    } else if (strcmp(verb, "strangers") == 0) {
        rooms_strangers(rooms, (size_t)atoi(rest), script->now);
    } else if (strcmp(verb, "adopt") == 0) {
        assert_true(rooms_adopt(rooms, ROOM, script->now));
    } else if (strcmp(verb, "shutdown") == 0) {
        rooms_shutdown(rooms,
                       strcmp(rest, "next") == 0      ? ROOMS_HEIR_NEXT
                       : strcmp(rest, "running") == 0 ? ROOMS_HEIR_RUNNING
                                                      : ROOMS_HEIR_NONE,
                       script->now);
    } else if (strcmp(verb, "taken") == 0) {
        script->other = FENCE_ALONE;
    } else if (strcmp(verb, "told") == 0) {
        script->other = FENCE_CHANGING;
    } else if (strcmp(verb, "shared") == 0) {
        script->other = FENCE_SHARED;
    } else if (strcmp(verb, "next") == 0) {
        script->other = FENCE_NEXT;
    } else if (strcmp(verb, "free") == 0) {
        script->other = FENCE_OPEN;
    } else if (strcmp(verb, "changed") == 0) {
        script->changes++;
    } else if (strcmp(verb, "many") == 0) {
        script->config.rooms_max = (size_t)atoi(rest);
        rooms_configure(rooms, &script->config);
    } else {
        return false;
    }
    return true;
}

static void script_look(struct script *script, const char *verb, const char *rest)
{
    const struct rooms *rooms = script->rooms;

    if (strcmp(verb, "state") == 0) {
        assert_string_equal(lobby_state_text(rooms_state(rooms, ROOM)), rest);
    } else if (strcmp(verb, "count") == 0) {
        assert_int_equal(rooms_count(rooms), atoi(rest));
    } else if (strcmp(verb, "persistent") == 0) {
        assert_int_equal(rooms_persistent_count(rooms), atoi(rest));
    } else if (strcmp(verb, "due") == 0) {
        assert_int_equal(rooms_next(rooms) - script->now, atoi(rest));
    } else {
        fail_msg("%s: no such event", script->where);
    }
}

static void script_event(struct script *script, const char *event)
{
    char verb[32] = "", name[32] = "";
    const char *rest = event + strcspn(event, " ");
    const char *last;

    snprintf(verb, sizeof(verb), "%.*s", (int)(rest - event), event);
    rest += *rest == ' ';
    last = rest + strcspn(rest, " ");
    snprintf(name, sizeof(name), "%.*s", (int)(last - rest), rest);
    last += *last == ' ';
    script->done[0] = '\0';
    if (!script_client(script, verb, name, last) && !script_room(script, verb, rest) &&
        !script_answers(script, verb, rest)) {
        script_look(script, verb, rest);
    }
}

static bool script_start(struct script *script, const struct scenario *scenario)
{
    struct room_actions actions = {.ctx = script,
                                   .request = script_request,
                                   .settle = script_settle,
                                   .note = script_note,
                                   .fence = script_fence,
                                   .changing = script_changing,
                                   .is_changing = script_is_changing};

    *script = (struct script){.now = 1000000, .where = scenario->name};
    script->config = (struct rooms_config){
        .rules = scenario->is_create ? &rules_token_lobby_ondemand_create
                                     : &rules_token_lobby_ondemand,
        .persistent = !scenario->not_persistent,
        .create_missing = scenario->is_create,
        .forward_on_failure = scenario->forward_on_failure,
        .hold_timeout_ms = 5000,
        .hold_limit_ms = 15000,
        .rooms_max = 100,
    };
    script->rooms = rooms_new(&script->config, &actions);
    return script->rooms != NULL;
}

static void script_run(const struct scenario *scenario)
{
    struct script *script = malloc(sizeof(*script));
    char where[256];

    assert_non_null(script);
    assert_true(script_start(script, scenario));
    for (size_t i = 0; scenario->steps[i].event != NULL; i++) {
        const struct script_step *step = &scenario->steps[i];
        const char *expected = step->expected == NULL ? "" : step->expected;

        snprintf(where, sizeof(where), "%s, step %zu: %s", scenario->name, i + 1, step->event);
        script->where = where;
        script_event(script, step->event);
        if (strcmp(script->done, expected) != 0) {
            fail_msg("%s\n  did      \"%s\"\n  expected \"%s\"", where, script->done, expected);
        }
    }
    rooms_free(script->rooms);
    free(script);
}

static void script_test(void **state)
{
    alloc_track_on();
    script_run(*state);
    assert_int_equal(alloc_live(), 0);
    alloc_track_off();
}

/* One test a scenario, by its name. */
static inline struct CMUnitTest script_test_of(const struct scenario *scenario)
{
    struct CMUnitTest test = {.name = scenario->name, .test_func = script_test};

    memcpy(&test.initial_state, &scenario, sizeof(scenario));
    return test;
}

#define SCENARIOS(list)                                                                            \
    struct CMUnitTest tests[sizeof(list) / sizeof((list)[0])];                                     \
    for (size_t i = 0; i < sizeof(list) / sizeof((list)[0]); i++) {                                \
        tests[i] = script_test_of(&(list)[i]);                                                     \
    }
