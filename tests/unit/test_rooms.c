/*
 * The registry, and the rooms without memory: a small Prosody that answers at once, and a meeting
 * that is played again and again, each time with another allocation failing. Whatever fails, every
 * join is settled once, nobody is thrown out, and no lobby user gets into an open room.
 */
#include "policy/rooms.h"
#include "policy/table.h"
#include "tests/unit/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ROOM "room@muc"
#define PEOPLE 50
#define REQUESTS 400

struct person {
    enum applicant applicant;
    bool is_inside, is_member, is_settled, is_refused, is_told;
    unsigned grants;
    char full[24], bare[24];
};

struct open_request {
    uint64_t id;
    enum request_kind kind;
    unsigned person;
};

static struct world {
    struct rooms *rooms;
    int64_t now;
    struct person people[PEOPLE];
    struct open_request open[REQUESTS];
    size_t open_len;
    bool membersonly, persistent, destroyed;
    unsigned thrown_out, slipped_in;
} world;

static const struct rooms_config config = {
    .rules = &rules_token_lobby_ondemand,
    .persistent = true,
    .hold_timeout_ms = 5000,
    .hold_limit_ms = 15000,
    .rooms_max = 100,
};

static void on_request(void *ctx, const struct room_request *request)
{
    struct open_request *open = &world.open[world.open_len++];

    assert_true(world.open_len <= REQUESTS);
    *open = (struct open_request){.id = request->id, .kind = request->kind};
    if (request->jid != NULL) {
        open->person = (unsigned)atoi(request->jid + 1);
    }
    if (request->kind == REQUEST_SUBMIT) {
        world.persistent = world.persistent || request->persistent == 1;
    }
}

static void on_settle(void *ctx, uint64_t join, const struct room_verdict *verdict)
{
    struct person *person = &world.people[join - 1];

    assert_false(person->is_settled);
    person->is_settled = true;
    person->is_refused = !verdict->forward;
    if (!verdict->forward || (world.membersonly && !person->is_member)) {
        return;
    }
    world.slipped_in += person->applicant == APPLICANT_LOBBY;
    person->is_inside = true;
}

static void on_note(void *ctx, const struct room_note *note)
{
    assert_string_equal(note->room, ROOM);
}

static void submit(void)
{
    for (unsigned i = 0; i < PEOPLE; i++) {
        if (!world.membersonly && world.people[i].is_inside && !world.people[i].is_member) {
            world.thrown_out++;
        }
    }
    world.membersonly = true;
}

static void answer_one(void)
{
    struct open_request request = world.open[0];
    struct room_occupant occupants[PEOPLE];
    struct room_answer answer = {.status = ANSWER_OK, .occupants = occupants};

    memmove(world.open, world.open + 1, --world.open_len * sizeof(world.open[0]));
    switch (request.kind) {
    case REQUEST_FORM:
        answer.form = (struct muc_form){true, world.membersonly, world.persistent};
        break;
    case REQUEST_SUBMIT:
    case REQUEST_CREATE:
        submit();
        break;
    case REQUEST_ROLES:
        for (unsigned i = 0; i < PEOPLE; i++) {
            if (world.people[i].is_inside) {
                occupants[answer.occupants_len++] = (struct room_occupant){
                    "nick", world.people[i].bare, world.people[i].is_member ? "member" : "none"};
            }
        }
        break;
    case REQUEST_AFFILIATIONS:
        answer.affiliation = world.people[request.person].is_member ? "member" : "none";
        break;
    case REQUEST_GRANT:
    case REQUEST_INVITE:
        world.people[request.person].is_member = true;
        world.people[request.person].grants++;
        break;
    case REQUEST_DESTROY:
        world.destroyed = true;
        break;
    }
    rooms_answer(world.rooms, request.id, &answer, world.now);
}

static void answer_all(void)
{
    while (world.open_len > 0) {
        answer_one();
    }
}

static bool start(void)
{
    static const struct room_actions actions = {NULL, on_request, on_settle, on_note};

    memset(&world, 0, sizeof(world));
    for (unsigned i = 0; i < PEOPLE; i++) {
        struct person *person = &world.people[i];

        person->applicant = i % 2 == 0 ? APPLICANT_PLAIN : APPLICANT_LOBBY;
        snprintf(person->full, sizeof(person->full), "p%u@d/x", i);
        snprintf(person->bare, sizeof(person->bare), "p%u@d", i);
    }
    world.rooms = rooms_new(&config, &actions);
    if (world.rooms != NULL) {
        rooms_service_up(world.rooms, world.now);
    }
    return world.rooms != NULL;
}

static void join(unsigned i)
{
    const struct person *person = &world.people[i];
    struct room_join join = {.id = i + 1,
                             .room = ROOM,
                             .full_jid = person->full,
                             .bare_jid = person->bare,
                             .applicant = person->applicant,
                             .fresh_jid = true};

    rooms_join(world.rooms, &join, world.now);
}

/* What Prosody made of the joins that went on reaches their clients. */
static void tell(void)
{
    for (unsigned i = 0; i < PEOPLE; i++) {
        struct person *person = &world.people[i];

        if (!person->is_settled || person->is_refused || person->is_told) {
            continue;
        }
        person->is_told = true;
        if (person->is_inside) {
            rooms_entered(world.rooms, ROOM, person->full, person->is_member ? "member" : "none",
                          world.now);
        } else {
            rooms_join_failed(world.rooms, ROOM, person->full, "registration-required", true,
                              world.now);
            rooms_lobby_entered(world.rooms, ROOM, person->full, world.now);
        }
    }
}

static void everybody_goes(void)
{
    for (unsigned i = 0; i < PEOPLE; i++) {
        world.people[i].is_inside = false;
        rooms_gone(world.rooms, world.people[i].full, world.now);
    }
    for (int n = 0; n < 100; n++) {
        world.now += 1000;
        rooms_tick(world.rooms, world.now);
        answer_all();
    }
}

/* Some are inside, some on their way when the first lobby user comes. */
static void play(void)
{
    for (unsigned i = 0; i < 12; i += 2) {
        join(i);
    }
    answer_all();
    tell();
    for (unsigned i = 12; i < 24; i++) {
        join(i);
        if (world.open_len > 0) {
            answer_one();
        }
    }
    answer_all();
    tell();
    rooms_suspended(world.rooms, world.people[0].full, world.now + 500, world.now);
    world.now += 20000;
    rooms_tick(world.rooms, world.now);
    answer_all();
    for (unsigned i = 0; i < 24; i++) {
        assert_true(world.people[i].is_settled || (i < 12 && i % 2 == 1));
    }
}

static void without_memory(void **state)
{
    bool hit = true;
    long n = 0;

    for (; hit; n++) {
        alloc_track_on();
        alloc_fail_after(n);
        if (start()) {
            play();
            everybody_goes();
            assert_int_equal(world.thrown_out, 0);
            assert_int_equal(world.slipped_in, 0);
            assert_int_equal(rooms_persistent_count(world.rooms), 0);
            assert_int_equal(rooms_count(world.rooms), 0);
            assert_int_equal(world.destroyed, world.persistent);
            rooms_free(world.rooms);
        }
        hit = alloc_failed();
        alloc_fail_off();
        assert_int_equal(alloc_live(), 0);
        alloc_track_off();
    }
    assert_true(n > 50);
}

static void fifty_at_once(void **state)
{
    unsigned inside = 0, outside = 0;

    assert_true(start());
    for (unsigned i = 0; i < PEOPLE; i++) {
        join(i);
    }
    answer_all();
    tell();
    for (unsigned i = 0; i < PEOPLE; i++) {
        const struct person *person = &world.people[i];

        assert_true(person->is_settled && !person->is_refused);
        assert_int_equal(person->grants, person->applicant == APPLICANT_PLAIN ? 1 : 0);
        inside += person->is_inside;
        outside += !person->is_inside;
    }
    assert_int_equal(inside, PEOPLE / 2);
    assert_int_equal(outside, PEOPLE / 2);
    assert_int_equal(world.thrown_out, 0);
    everybody_goes();
    assert_true(world.destroyed);
    assert_int_equal(rooms_count(world.rooms), 0);
    rooms_free(world.rooms);
}

static void freed_in_the_middle(void **state)
{
    alloc_track_on();
    assert_true(start());
    for (unsigned i = 0; i < PEOPLE; i++) {
        join(i);
    }
    answer_one();
    answer_one();
    assert_int_equal(rooms_count(world.rooms), 1);
    rooms_free(world.rooms);
    rooms_free(NULL);
    assert_int_equal(alloc_live(), 0);
    alloc_track_off();
}

/* Affiliations of those who have left are kept, but not without end. */
static void many_have_been_here(void **state)
{
    char jid[32];

    alloc_track_on();
    assert_true(start());
    rooms_entered(world.rooms, ROOM, "stays@d/x", "member", world.now);
    for (unsigned i = 0; i < 6000; i++) {
        snprintf(jid, sizeof(jid), "g%u@d/x", i);
        rooms_entered(world.rooms, ROOM, jid, "none", world.now);
        rooms_left(world.rooms, ROOM, jid, false, world.now);
    }
    assert_in_range(alloc_live(), 2 * 4096, 2 * 4096 + 100);
    rooms_left(world.rooms, ROOM, "stays@d/x", false, world.now);
    assert_int_equal(rooms_count(world.rooms), 0);
    rooms_free(world.rooms);
    assert_int_equal(alloc_live(), 0);
    alloc_track_off();
}

static void tables(void **state)
{
    static struct {
        struct table_node node;
        char key[16];
    } things[1000];
    struct table table;

    table_init(&table, UINT64_MAX);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(things[i].key, sizeof(things[i].key), "%u", i);
        alloc_fail_after(i % 3 == 0 ? 0 : 1000); /* a table that cannot grow works on */
        table_add(&table, &things[i].node, things[i].key, strlen(things[i].key));
    }
    alloc_fail_off();
    for (unsigned i = 0; i < 1000; i += 2) {
        table_remove(&table, &things[i].node);
    }
    assert_int_equal(table.len, 500);
    for (unsigned i = 0; i < 1000; i++) {
        assert_ptr_equal(table_find(&table, things[i].key, strlen(things[i].key)),
                         i % 2 == 0 ? NULL : &things[i].node);
    }
    assert_null(table_find(&table, "1", 0));
    table_done(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory),
        cmocka_unit_test(fifty_at_once),
        cmocka_unit_test(freed_in_the_middle),
        cmocka_unit_test(many_have_been_here),
        cmocka_unit_test(tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
