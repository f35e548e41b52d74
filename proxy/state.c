/*
 * The state file. What a newcomer gets wrong: the database belongs to the worker while one is busy;
 * the loop's side touches only the queue of changes, and takes a finished batch back.
 */
#include "proxy/state.h"

#include "proxy/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define TAG "state"
#define BUSY_MS 2000
#define VERSION 1
#define CHANGES_MAX 65536 /* waiting to be written; a room costs one at a time */

struct change {
    STAILQ_ENTRY(change) link;
    bool is_release;
    bool is_written;
    state_done done;
    void *ctx;
    char room[];
};

STAILQ_HEAD(changes, change);

struct state {
    struct loop *loop;
    char *file;
    sqlite3 *db; /* the worker's while is_busy */
    int lock;    /* held shared by every process that has the file open; -1: none */
    struct changes waiting, batch;
    size_t waiting_len;
    bool is_busy;
    bool is_working;
    bool is_read; /* what earlier processes left was found */
    void (*found)(void *ctx, const char *room);
    void *found_ctx;
    int64_t retry_at;
    uv_work_t work;
    char problem[256]; /* of the last batch, "" when it was written */
};

/* The database: called by the worker, or before the loop runs. */

static bool fails(struct state *s, const char *doing)
{
    int code = s->db ? sqlite3_extended_errcode(s->db) : SQLITE_NOMEM;
    const char *hint = "";

    switch (code & 0xff) {
    case SQLITE_CANTOPEN:
        hint = "; make its folder, writable for this user";
        break;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        hint = "; let this user write to it and its folder";
        break;
    case SQLITE_FULL:
        hint = "; make room on its disk";
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        hint = "; move it away, a new one is made then";
        break;
    default:
        break;
    }
    snprintf(s->problem, sizeof s->problem, "%s: %s%s", doing,
             s->db ? sqlite3_errmsg(s->db) : "out of memory", hint);
    return false;
}

static bool run(struct state *s, const char *sql, const char *doing)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK || fails(s, doing);
}

static int read_version(void *ctx, int columns, char **values, char **names)
{
    *(long *)ctx = columns > 0 && values[0] ? strtol(values[0], NULL, 10) : 0;
    return 0;
}

static int read_check(void *ctx, int columns, char **values, char **names)
{
    *(bool *)ctx = columns > 0 && values[0] && strcmp(values[0], "ok") == 0;
    return 0;
}

/* A file that is no database, or a damaged one, shows itself at the first statement or the check.
 */
static bool prepare(struct state *s)
{
    long version = 0;
    bool is_sound = false;

    sqlite3_busy_timeout(s->db, BUSY_MS);
    if (sqlite3_exec(s->db, "PRAGMA user_version", read_version, &version, NULL) != SQLITE_OK ||
        sqlite3_exec(s->db, "PRAGMA quick_check(1)", read_check, &is_sound, NULL) != SQLITE_OK)
        return fails(s, "it cannot be read");
    if (!is_sound) {
        snprintf(s->problem, sizeof s->problem,
                 "it is damaged; move it away, a new one is made then");
        return false;
    }
    if (version > VERSION) {
        snprintf(s->problem, sizeof s->problem,
                 "a newer Vestibule wrote it; use that one, or move the file away");
        return false;
    }
    return run(s,
               "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
               "CREATE TABLE IF NOT EXISTS room (jid TEXT PRIMARY KEY, since INTEGER NOT NULL)"
               " WITHOUT ROWID;"
               "PRAGMA user_version = 1;",
               "it cannot be set up");
}

/* Shared by all who have the file open, so that each can see whether it is alone. */
static void take_lock(struct state *s)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    size_t len = strlen(s->file);
    char *path = s->lock < 0 ? malloc(len + sizeof "-lock") : NULL;

    if (!path)
        return;
    memcpy(path, s->file, len);
    memcpy(path + len, "-lock", sizeof "-lock");
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(path);
    if (s->lock >= 0 && fcntl(s->lock, F_OFD_SETLK, &lock) != 0) {
        close(s->lock);
        s->lock = -1;
    }
}

static void close_database(struct state *s)
{
    sqlite3_close(s->db);
    s->db = NULL;
}

static bool open_database(struct state *s)
{
    s->problem[0] = '\0';
    if (sqlite3_open_v2(s->file, &s->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        fails(s, "it cannot be opened");
    else if (prepare(s))
        take_lock(s);
    if (s->problem[0] == '\0')
        return true;
    close_database(s);
    return false;
}

static bool write_change(struct state *s, const struct change *change)
{
    static const char hold[] = "INSERT OR IGNORE INTO room VALUES (?1, unixepoch())";
    static const char release[] = "DELETE FROM room WHERE jid = ?1";
    sqlite3_stmt *statement = NULL;
    bool is_written =
        sqlite3_prepare_v2(s->db, change->is_release ? release : hold, -1, &statement, NULL) ==
            SQLITE_OK &&
        sqlite3_bind_text(statement, 1, change->room, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_DONE;

    if (!is_written)
        fails(s, "it cannot be written");
    sqlite3_finalize(statement);
    return is_written;
}

/* All of a batch or nothing. */
static bool write_batch(struct state *s)
{
    struct change *change;

    if (!run(s, "BEGIN IMMEDIATE", "it cannot be written"))
        return false;
    STAILQ_FOREACH(change, &s->batch, link)
    {
        if (!write_change(s, change)) {
            sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
            return false;
        }
    }
    if (run(s, "COMMIT", "it cannot be written"))
        return true;
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return false;
}

static void work(uv_work_t *request)
{
    struct state *s = request->data;
    bool is_written;
    struct change *change;

    s->problem[0] = '\0';
    is_written = (s->db || open_database(s)) && write_batch(s);
    /* Opened anew for the next one: whatever was wrong with it may have been mended by then. */
    if (!is_written)
        close_database(s);
    STAILQ_FOREACH(change, &s->batch, link)
    change->is_written = is_written;
}

/* The loop's side. */

/* Said when it changes. */
static void set_working(struct state *s, bool is_working)
{
    if (!is_working) {
        s->retry_at = loop_now(s->loop) + STATE_RETRY_MS;
        if (s->is_working)
            log_line(LOG_LEVEL_ERROR, TAG,
                     "state.file %s: %s; until then no room is kept when it becomes empty", s->file,
                     s->problem);
    } else if (!s->is_working) {
        log_line(LOG_LEVEL_INFO, TAG, "state.file %s can be written again", s->file);
    }
    s->is_working = is_working;
}

static void tell_batch(struct state *s)
{
    struct change *change;

    while ((change = STAILQ_FIRST(&s->batch))) {
        STAILQ_REMOVE_HEAD(&s->batch, link);
        if (change->done)
            change->done(change->ctx, change->is_written);
        free(change);
    }
}

static void begin(struct state *s);

static void worked(uv_work_t *request, int status)
{
    struct state *s = request->data;

    s->is_busy = false;
    set_working(s, s->problem[0] == '\0');
    tell_batch(s);
    if (!STAILQ_EMPTY(&s->waiting))
        begin(s);
}

static void begin(struct state *s)
{
    assert(!s->is_busy);
    STAILQ_CONCAT(&s->batch, &s->waiting);
    s->waiting_len = 0;
    s->is_busy = true;
    s->work.data = s;
    if (uv_queue_work(loop_uv(s->loop), &s->work, work, worked) == 0)
        return;
    snprintf(s->problem, sizeof s->problem, "no thread could be begun to write it");
    worked(&s->work, 0);
}

static bool add(struct state *s, const char *room, bool is_release, state_done done, void *ctx)
{
    size_t len = strlen(room) + 1;
    struct change *change = s->waiting_len < CHANGES_MAX ? malloc(sizeof *change + len) : NULL;

    if (!change)
        return false;
    *change = (struct change){.is_release = is_release, .done = done, .ctx = ctx};
    memcpy(change->room, room, len);
    STAILQ_INSERT_TAIL(&s->waiting, change, link);
    s->waiting_len++;
    if (!s->is_busy)
        begin(s);
    return true;
}

bool state_hold(struct state *s, const char *room, state_done done, void *ctx)
{
    return add(s, room, false, done, ctx);
}

void state_release(struct state *s, const char *room)
{
    if (!add(s, room, true, NULL, NULL))
        log_line(LOG_LEVEL_WARN, TAG,
                 "out of memory: %s stays in the state file, and is looked at "
                 "by the next start",
                 room);
}

static void forget(struct changes *changes, const void *ctx)
{
    struct change *change;

    STAILQ_FOREACH(change, changes, link)
    {
        if (change->ctx == ctx)
            change->done = NULL;
    }
}

void state_forget(struct state *s, const void *ctx)
{
    forget(&s->waiting, ctx);
    forget(&s->batch, ctx);
}

bool state_is_working(const struct state *s)
{
    return s->is_working;
}

bool state_is_shared(const struct state *s)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return s->lock >= 0 && fcntl(s->lock, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static void read_rooms(struct state *s)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(s->db, "SELECT jid FROM room", -1, &statement, NULL);

    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        if (code == SQLITE_ROW && sqlite3_column_text(statement, 0))
            s->found(s->found_ctx, (const char *)sqlite3_column_text(statement, 0));
    }
    if (code != SQLITE_DONE)
        fails(s, "its rooms cannot be read");
    sqlite3_finalize(statement);
}

/* As long as another process holds rooms they are its own, and more may come. */
static void read_if_alone(struct state *s)
{
    if (s->is_read || state_is_shared(s))
        return;
    s->is_read = true;
    read_rooms(s);
}

void state_tick(struct state *s, int64_t now)
{
    if (s->is_busy)
        return;
    if (!s->is_working && now >= s->retry_at)
        begin(s); /* an empty batch opens it */
    else if (s->is_working && s->db)
        read_if_alone(s);
}

struct state *state_new(struct loop *loop, const char *file,
                        void (*found)(void *ctx, const char *room), void *ctx)
{
    struct state *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->loop = loop;
    s->lock = -1;
    s->is_working = true;
    STAILQ_INIT(&s->waiting);
    STAILQ_INIT(&s->batch);
    s->file = strdup(file);
    if (!s->file) {
        free(s);
        return NULL;
    }
    s->found = found;
    s->found_ctx = ctx;
    open_database(s);
    set_working(s, s->problem[0] == '\0');
    return s;
}

void state_free(struct state *s)
{
    if (!s)
        return;
    /* A batch under way is waited for, and its end told, which begins the next. */
    while (s->is_busy)
        uv_run(loop_uv(s->loop), UV_RUN_ONCE);
    close_database(s);
    if (s->lock >= 0)
        close(s->lock);
    free(s->file);
    free(s);
}
