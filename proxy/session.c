/*
 * Sessions and the table of those that can be resumed, by resumption id.
 */
#include "proxy/session.h"

#include "policy/rooms.h"

#include <stdlib.h>
#include <string.h>

/* uthash's own arithmetic is unsigned on purpose. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#define SAID_FULL_MS 60000

struct entry {
    char *id;
    struct session *session;
    bool is_idle; /* suspended and nowhere */
    struct entry *prev, *next;
    UT_hash_handle hh;
};

struct sessions {
    struct rooms *rooms;
    struct entry *entries;
    struct entry *idle; /* the oldest first */
    size_t max;
    bool has_said_full;
    int64_t said_full_at;
};

static void place_free(struct session_place *place)
{
    free(place->room);
    free(place->nick);
    free(place);
}

static void forget_answers(struct session *s)
{
    while (s->answers)
        session_forget_answer(s, s->answers);
}

static void session_free(struct session *s)
{
    while (s->places) {
        struct session_place *place = s->places;

        s->places = place->next;
        place_free(place);
    }
    forget_answers(s);
    sm_done(&s->sm);
    token_done(&s->token);
    free(s->full_jid);
    free(s->bare_jid);
    free(s->resume_id);
    free(s);
}

/* Whether nothing is lost with it but what Prosody says anew: rooms rest on those that are in them,
 * or may be for all that is known. */
static void mark_idle(struct sessions *table, struct session *s)
{
    struct entry *e = s->hash;
    bool is_idle = !s->stream && s->places_len == 0 && !s->is_token_unseen && sm_is_even(&s->sm);

    if (!e || e->is_idle == is_idle)
        return;
    e->is_idle = is_idle;
    if (is_idle)
        DL_APPEND(table->idle, e);
    else
        DL_DELETE(table->idle, e);
}

static void entry_remove(struct sessions *table, struct session *s)
{
    struct entry *e = s->hash;

    if (!e)
        return;
    if (e->is_idle)
        DL_DELETE(table->idle, e);
    HASH_DEL(table->entries, e);
    free(e->id);
    free(e);
    free(s->resume_id);
    s->resume_id = NULL;
    s->hash = NULL;
}

static void session_end(struct sessions *table, struct session *s, int64_t now)
{
    entry_remove(table, s);
    if (s->full_jid)
        rooms_gone(table->rooms, s->full_jid, now);
    session_free(s);
}

struct sessions *sessions_new(struct rooms *rooms, size_t max)
{
    struct sessions *table = calloc(1, sizeof *table);

    if (!table)
        return NULL;
    table->rooms = rooms;
    table->max = max;
    return table;
}

void sessions_limit(struct sessions *table, size_t max)
{
    table->max = max;
}

void sessions_free(struct sessions *table)
{
    struct entry *e, *next;

    if (!table)
        return;
    HASH_ITER(hh, table->entries, e, next)
    {
        struct session *s = e->session;

        entry_remove(table, s);
        if (!s->stream)
            session_free(s);
    }
    free(table);
}

void sessions_tick(struct sessions *table, int64_t now)
{
    struct entry *e, *next;

    HASH_ITER(hh, table->entries, e, next)
    {
        if (!e->session->stream && e->session->until <= now)
            session_end(table, e->session, now);
    }
}

size_t sessions_strangers(const struct sessions *table)
{
    size_t count = 0;

    for (const struct entry *e = table->entries; e; e = e->hh.next)
        count += e->session->is_token_unseen && e->session->places_len == 0;
    return count;
}

struct session *session_new(struct stream *stream)
{
    struct session *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->stream = stream;
    sm_init(&s->sm);
    return s;
}

bool session_bind(struct session *s, const char *jid)
{
    struct jid parsed;
    char *full, *bare;

    if (jid_parse(jid, strlen(jid), &parsed) != JID_OK)
        return false;
    full = parsed.resource[0] ? jid_full(&parsed) : NULL;
    bare = jid_bare(&parsed);
    jid_done(&parsed);
    if (!full || !bare) {
        free(full);
        free(bare);
        return false;
    }
    free(s->full_jid);
    free(s->bare_jid);
    s->full_jid = full;
    s->bare_jid = bare;
    return true;
}

bool session_resumable(struct sessions *table, struct session *s, const char *id, int64_t max_ms,
                       int64_t now)
{
    struct entry *e;

    entry_remove(table, s);
    while (HASH_COUNT(table->entries) >= table->max && table->idle)
        session_end(table, table->idle->session, now);
    if (HASH_COUNT(table->entries) >= table->max || sessions_find(table, id))
        return false;
    e = calloc(1, sizeof *e);
    if (!e)
        return false;
    e->session = s;
    e->id = strdup(id);
    s->resume_id = strdup(id);
    if (!e->id || !s->resume_id)
        goto failed;
    HASH_ADD_KEYPTR(hh, table->entries, e->id, strlen(e->id), e);
    if (!e->hh.tbl) /* no memory for the table */
        goto failed;
    s->hash = e;
    s->resume_ms = max_ms;
    return true;
failed:
    free(s->resume_id);
    s->resume_id = NULL;
    free(e->id);
    free(e);
    return false;
}

bool sessions_full_is_news(struct sessions *table, int64_t now)
{
    bool is_news = !table->has_said_full || now - table->said_full_at >= SAID_FULL_MS;

    if (is_news)
        table->said_full_at = now;
    table->has_said_full = true;
    return is_news;
}

struct session *sessions_find(struct sessions *table, const char *id)
{
    struct entry *e = NULL;

    HASH_FIND_STR(table->entries, id, e);
    return e ? e->session : NULL;
}

void session_leave(struct sessions *table, struct session *s, bool clean, int64_t now)
{
    s->stream = NULL;
    if (clean || !s->hash || !s->full_jid) {
        session_end(table, s, now);
        return;
    }
    /* Prosody brings them again, to whichever instance; only where the counts differ it is ours to.
     */
    if (sm_is_even(&s->sm))
        forget_answers(s);
    s->until = now + s->resume_ms;
    mark_idle(table, s);
    rooms_suspended(table->rooms, s->full_jid, s->until, now);
}

void session_take(struct sessions *table, struct session *s, struct stream *stream, int64_t now)
{
    s->stream = stream;
    s->until = 0;
    mark_idle(table, s);
    if (s->full_jid)
        rooms_resumed(table->rooms, s->full_jid, now);
}

struct session_place *session_find_place(struct session *s, const char *room, bool is_lobby)
{
    for (struct session_place *at = s->places; at; at = at->next) {
        if (at->is_lobby == is_lobby && strcmp(at->room, room) == 0)
            return at;
    }
    return NULL;
}

bool session_enter(struct session *s, const char *room, const char *nick, bool is_lobby)
{
    struct session_place *place = session_find_place(s, room, is_lobby);
    char *name;

    if (place && strcmp(place->nick, nick) == 0)
        return true;
    name = strdup(nick);
    if (!name)
        return false;
    if (place) {
        free(place->nick);
        place->nick = name;
        return true;
    }
    place = s->places_len < SESSION_PLACES_MAX ? calloc(1, sizeof *place) : NULL;
    if (!place || !(place->room = strdup(room))) {
        free(place);
        free(name);
        return false;
    }
    place->nick = name;
    place->is_lobby = is_lobby;
    place->next = s->places;
    s->places = place;
    s->places_len++;
    return true;
}

void session_exit(struct session *s, const char *room, bool is_lobby)
{
    for (struct session_place **at = &s->places; *at; at = &(*at)->next) {
        struct session_place *place = *at;

        if (place->is_lobby != is_lobby || strcmp(place->room, room) != 0)
            continue;
        *at = place->next;
        s->places_len--;
        place_free(place);
        return;
    }
}

struct session_answer *session_keep_answer(struct session *s, const char *stanza, int64_t now)
{
    struct session_answer **end = &s->answers;
    struct session_answer *answer;

    if (s->answers_len >= SESSION_ANSWERS_MAX || !(answer = calloc(1, sizeof *answer)))
        return NULL;
    answer->stanza = strdup(stanza);
    if (!answer->stanza) {
        free(answer);
        return NULL;
    }
    answer->number = ++s->answers_made;
    answer->since = now;
    while (*end)
        end = &(*end)->next;
    *end = answer;
    s->answers_len++;
    return answer;
}

struct session_answer *session_find_answer(struct session *s, uint64_t number)
{
    struct session_answer *at = s->answers;

    while (at && at->number != number)
        at = at->next;
    return at;
}

void session_forget_answer(struct session *s, struct session_answer *answer)
{
    struct session_answer **at = &s->answers;

    while (*at != answer)
        at = &(*at)->next;
    *at = answer->next;
    s->answers_len--;
    free(answer->stanza);
    free(answer);
}

/* The stanza that an added answer answers was withheld: the client may send it again as long as
 * Prosody has not acknowledged past it. */
static bool is_over(const struct session *s, const struct session_answer *answer, uint32_t h)
{
    bool is_settled = s->sm.up.from == s->sm.up.to && s->sm.up.marks_len == 0;

    return !sm_is_behind(answer->at, h) &&
           (answer->state == ANSWER_HIDDEN || (answer->state == ANSWER_ADDED && is_settled));
}

void session_acknowledged(struct session *s, uint32_t h)
{
    struct session_answer *next;

    if (sm_is_behind(h, s->sm.down.to))
        return; /* more than there was: whatever comes of it, nothing is over yet */
    for (struct session_answer *at = s->answers; at; at = next) {
        next = at->next;
        if (is_over(s, at, h))
            session_forget_answer(s, at);
    }
}

void session_resumed(struct session *s, uint32_t h)
{
    struct session_answer *next;

    session_acknowledged(s, h);
    for (struct session_answer *at = s->answers; at; at = next) {
        next = at->next;
        if (at->state == ANSWER_HIDDEN)
            at->state = ANSWER_FORWARDED; /* Prosody sends it again, maybe at another place */
        else if (at->state != ANSWER_FORWARDED && at->state != ANSWER_ADDED)
            session_forget_answer(s, at);
    }
}
