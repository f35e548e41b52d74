/*
 * SQLite, and the locks that say who lives. What a newcomer gets wrong: a slot is reused, so what
 * its former holder left is this process's own at once; and such rows are marked as not taken (0)
 * until the loop's side says that it has taken them (1), or set aside for another start (2).
 *
 * The slots are bytes of the file itself, far behind its end: whatever is moved, linked or copied,
 * the rows and the locks that go with them are in one file. SQLite's own locks on it are this
 * process's, and closing any descriptor of it ends them: ours is closed after SQLite's, no other is
 * ever opened.
 */
#include "proxy/state_file.h"

#include "proxy/state_path.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MS 2000
#define VERSION 2
#define SEPARATE_LOCKS_VERSION 1 /* whose slots were in a file beside it */
#define SLOTS_MAX 1024
/* Others look at every sweep whether the file was moved: who has it open still has looked after so
 * many of ours. */
#define MOVE_SWEEPS 3
#define SLOTS_FROM (INT64_C(1) << 62) /* SQLite locks around 2^30 */
#define NO_SLOT (-1)

struct state_file {
    char *name;
    sqlite3 *db;
    _Atomic int lock; /* descriptor; -1: none. The loop's side asks by it who lives */
    int slot;
    unsigned openings, moves;
    unsigned sweeps_to_wait; /* after a move */
    char problem[256];
};

struct state_change *state_change_new(enum state_kind kind, const char *room)
{
    size_t len = strlen(room) + 1;
    struct state_change *change = calloc(1, sizeof *change + len);

    if (!change)
        return NULL;
    change->kind = kind;
    memcpy(change->room, room, len);
    return change;
}

static const char *hint(int code)
{
    switch (code & 0xff) {
    case SQLITE_CANTOPEN:
        return "; make its folder, writable for this user";
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return "; let this user write to it and its folder";
    case SQLITE_FULL:
    case SQLITE_IOERR:
        return "; is there room on its disk?";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "; move it away, a new one is made then";
    default:
        return "";
    }
}

/* Always false. */
static bool fails(struct state_file *f, const char *doing)
{
    snprintf(f->problem, sizeof f->problem, "%s: %s%s", doing,
             f->db ? sqlite3_errmsg(f->db) : "out of memory",
             f->db ? hint(sqlite3_extended_errcode(f->db)) : "");
    return false;
}

/* So is it. */
static bool refuses(struct state_file *f, const char *why)
{
    snprintf(f->problem, sizeof f->problem, "%s", why);
    return false;
}

/* Locks. */

static struct flock at_slots(short type, int slot, int len)
{
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = SLOTS_FROM + slot, .l_len = len};
}

static bool is_locked(int file, struct flock lock)
{
    return fcntl(file, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool is_alive(const struct state_file *f, int slot)
{
    return slot == f->slot || is_locked(f->lock, at_slots(F_WRLCK, slot, 1));
}

bool state_file_is_shared(const struct state_file *f)
{
    return f->lock >= 0 && is_locked(f->lock, at_slots(F_WRLCK, 0, SLOTS_MAX));
}

/* The file SQLite has open, and no other. */
static bool open_for_locks(struct state_file *f)
{
    int has_moved = 0;

    if (state_path_is_mounted_alone(f->name))
        return refuses(f, "it is mounted without its folder, where SQLite keeps more of it; "
                          "mount the folder instead");
    if (f->lock < 0)
        f->lock = open(f->name, O_RDWR | O_CLOEXEC);
    if (f->lock < 0)
        return refuses(f, strerror(errno));
    (void)sqlite3_file_control(f->db, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
    if (has_moved || state_path_leads_elsewhere(f->name, f->lock))
        return refuses(f, "it was moved or removed while it was opened");
    return true;
}

static bool take_slot(struct state_file *f)
{
    if (f->slot != NO_SLOT)
        return true;
    for (int slot = 0; slot < SLOTS_MAX; slot++) {
        struct flock lock = at_slots(F_WRLCK, slot, 1);

        if (fcntl(f->lock, F_OFD_SETLK, &lock) != 0)
            continue;
        f->slot = slot;
        return true;
    }
    return refuses(f, "it cannot be locked; is its disk a local one?");
}

/* Whether a process still runs that has its slot in a file beside this one; if none does, that file
 * is of no more use. */
static bool is_with_separate_locks(const struct state_file *f)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *name = state_path_resolve(f->name);
    char *path = NULL;
    int file = -1;
    bool is_held = false;

    if (name && asprintf(&path, "%s-lock", name) >= 0) {
        file = open(path, O_RDWR | O_CLOEXEC);
        is_held = file >= 0 && is_locked(file, lock);
        if (file >= 0 && !is_held)
            unlink(path);
    }
    if (file >= 0)
        close(file);
    free(path);
    free(name);
    return is_held;
}

/* The database. */

static bool run(struct state_file *f, const char *sql, const char *doing)
{
    return sqlite3_exec(f->db, sql, NULL, NULL, NULL) == SQLITE_OK || fails(f, doing);
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
static bool prepare(struct state_file *f)
{
    static const char tables[] =
        "PRAGMA journal_mode = WAL;"
        "PRAGMA synchronous = FULL;"
        "CREATE TABLE IF NOT EXISTS room"
        " (jid TEXT PRIMARY KEY, holder INTEGER NOT NULL, taken INTEGER NOT NULL,"
        "  since INTEGER NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE IF NOT EXISTS waiting"
        " (jid TEXT, holder INTEGER, PRIMARY KEY (jid, holder)) WITHOUT ROWID;"
        "PRAGMA user_version = 2;";
    long version = 0;
    bool is_sound = false;

    sqlite3_busy_timeout(f->db, BUSY_MS);
    if (sqlite3_exec(f->db, "PRAGMA user_version", read_version, &version, NULL) != SQLITE_OK ||
        sqlite3_exec(f->db, "PRAGMA quick_check(1)", read_check, &is_sound, NULL) != SQLITE_OK)
        return fails(f, "it cannot be read");
    if (!is_sound)
        return refuses(f, "it is damaged; move it away, a new one is made then");
    if (version > VERSION)
        return refuses(f, "a newer Vestibule wrote it; use that one, or move the file away");
    if (version == SEPARATE_LOCKS_VERSION && is_with_separate_locks(f))
        return refuses(f, "an older Vestibule has it open; it can be used once that one has ended");
    return run(f, tables, "it cannot be set up");
}

static void close_database(struct state_file *f)
{
    sqlite3_close(f->db);
    f->db = NULL;
}

/* SQLite would go on writing, and this process go on living, where nobody looks. */
static void leave_moved(struct state_file *f)
{
    if (f->lock < 0 || !state_path_leads_elsewhere(f->name, f->lock))
        return;
    f->sweeps_to_wait = state_file_is_shared(f) ? MOVE_SWEEPS : 0;
    close_database(f);
    close(f->lock);
    f->lock = -1;
    f->slot = NO_SLOT;
    f->moves++;
}

/* A change with the slot's number as ?1 and the room as ?2. */
static bool write_row(struct state_file *f, const char *sql, const char *room)
{
    sqlite3_stmt *statement = NULL;
    bool is_written =
        sqlite3_prepare_v2(f->db, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_bind_int(statement, 1, f->slot) == SQLITE_OK &&
        (!room || sqlite3_bind_text(statement, 2, room, -1, SQLITE_STATIC) == SQLITE_OK) &&
        sqlite3_step(statement) == SQLITE_DONE;

    if (!is_written)
        fails(f, "it cannot be written");
    sqlite3_finalize(statement);
    return is_written;
}

bool state_file_open(struct state_file *f)
{
    if (f->db)
        return true;
    f->problem[0] = '\0';
    if (sqlite3_open_v2(f->name, &f->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK) {
        fails(f, "it cannot be opened");
    } else if (sqlite3_db_readonly(f->db, "main") == 1) {
        /* Reading on, SQLite would make the files beside it read-only as well. */
        snprintf(f->problem, sizeof f->problem, "it may only be read%s", hint(SQLITE_READONLY));
    } else if (open_for_locks(f) && prepare(f)) {
        bool had_slot = f->slot != NO_SLOT;

        /* What the slot's former holder left; its waiting clients are gone with it. */
        if (take_slot(f) && !had_slot &&
            write_row(f, "UPDATE room SET taken = 0 WHERE holder = ?1", NULL))
            write_row(f, "DELETE FROM waiting WHERE holder = ?1", NULL);
    }
    if (f->problem[0] == '\0') {
        f->openings++;
        return true;
    }
    close_database(f);
    return false;
}

/* Calls each with every holder but this one; false when the file fails, or each says so. */
static bool for_others(struct state_file *f, const char *sql, struct state_change *change,
                       bool (*each)(struct state_file *f, int holder, struct state_change *change))
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(f->db, sql, -1, &statement, NULL);
    bool goes_on = true;

    if (code == SQLITE_OK)
        code = sqlite3_bind_int(statement, 1, f->slot);
    if (code == SQLITE_OK && change->room[0])
        code = sqlite3_bind_text(statement, 2, change->room, -1, SQLITE_STATIC);
    while (goes_on && (code == SQLITE_OK || code == SQLITE_ROW)) {
        code = sqlite3_step(statement);
        if (code != SQLITE_ROW)
            break;
        goes_on = each(f, sqlite3_column_int(statement, 0), change);
    }
    if (goes_on && code != SQLITE_DONE)
        goes_on = fails(f, "it cannot be read");
    sqlite3_finalize(statement);
    return goes_on;
}

/* A holder's number is an integer, so it needs no binding. */
static bool take_from_the_gone(struct state_file *f, int holder, struct state_change *change)
{
    char sql[128];

    if (is_alive(f, holder))
        return true;
    snprintf(sql, sizeof sql, "UPDATE room SET holder = ?1, taken = 0 WHERE holder = %d", holder);
    if (!write_row(f, sql, NULL))
        return false;
    snprintf(sql, sizeof sql, "DELETE FROM waiting WHERE holder = %d", holder);
    return run(f, sql, "it cannot be written");
}

/* To the first who lives. */
static bool hand_over(struct state_file *f, int holder, struct state_change *change)
{
    char sql[192];

    if (change->outcome == STATE_HANDED_OVER || !is_alive(f, holder))
        return true;
    snprintf(sql, sizeof sql,
             "INSERT INTO room SELECT ?2, %d, 0, unixepoch() WHERE ?1 = ?1"
             " ON CONFLICT (jid) DO UPDATE SET holder = %d, taken = 0",
             holder, holder);
    change->outcome = STATE_HANDED_OVER;
    return write_row(f, sql, change->room);
}

static bool sweep(struct state_file *f, struct state_changes *ret_found,
                  struct state_change *change)
{
    /* What cannot even be named. */
    static const char nameless[] = "DELETE FROM room WHERE holder = ?1 AND taken = 0"
                                   " AND (typeof(jid) <> 'text' OR instr(jid, char(0)) > 0)";
    sqlite3_stmt *statement = NULL;
    int code;

    if (!for_others(f,
                    "SELECT holder FROM room WHERE holder <> ?1"
                    " UNION SELECT holder FROM waiting WHERE holder <> ?1",
                    change, take_from_the_gone) ||
        !write_row(f, nameless, NULL))
        return false;
    code = sqlite3_prepare_v2(f->db, "SELECT jid FROM room WHERE holder = ?1 AND taken = 0", -1,
                              &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int(statement, 1, f->slot);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        struct state_change *found = NULL;
        const char *room;

        code = sqlite3_step(statement);
        if (code != SQLITE_ROW)
            break;
        room = (const char *)sqlite3_column_text(statement, 0); /* NULL: no memory for it */
        found = room ? state_change_new(STATE_FOUND, room) : NULL;
        if (!found)
            break; /* the next sweep finds them */
        STAILQ_INSERT_TAIL(ret_found, found, link);
    }
    sqlite3_finalize(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE || fails(f, "it cannot be read");
}

static bool carry_out(struct state_file *f, struct state_changes *ret_found,
                      struct state_change *change)
{
    switch (change->kind) {
    case STATE_HOLD:
        return write_row(f,
                         "INSERT INTO room VALUES (?2, ?1, 1, unixepoch())"
                         " ON CONFLICT (jid) DO UPDATE SET holder = ?1, taken = 1",
                         change->room);
    case STATE_PART:
        if (f->sweeps_to_wait > 0) {
            change->outcome = STATE_LATER;
            return true;
        }
        return for_others(f, "SELECT holder FROM waiting WHERE holder <> ?1 AND jid = ?2", change,
                          hand_over);
    case STATE_RELEASE:
        return write_row(f, "DELETE FROM room WHERE holder = ?1 AND jid = ?2", change->room);
    case STATE_WAITING:
        return write_row(f, "INSERT OR IGNORE INTO waiting VALUES (?2, ?1)", change->room);
    case STATE_WAITING_NO_MORE:
        return write_row(f, "DELETE FROM waiting WHERE holder = ?1 AND jid = ?2", change->room);
    case STATE_SWEEP:
        f->sweeps_to_wait -= f->sweeps_to_wait > 0;
        return sweep(f, ret_found, change);
    case STATE_FOUND:
        return true;
    case STATE_TAKE:
        return write_row(f, "UPDATE room SET taken = 1 WHERE holder = ?1 AND jid = ?2",
                         change->room);
    case STATE_SET_ASIDE:
        return write_row(f, "UPDATE room SET taken = 2 WHERE holder = ?1 AND jid = ?2",
                         change->room);
    case STATE_RENEW:
        return write_row(f, "DELETE FROM room WHERE holder = ?1 AND taken = 1", NULL) &&
               write_row(f, "DELETE FROM waiting WHERE holder = ?1", NULL);
    }
    return true;
}

void state_file_write(struct state_file *f, struct state_changes *batch,
                      struct state_changes *ret_found)
{
    struct state_change *change;
    bool is_written;

    leave_moved(f);
    is_written = state_file_open(f) && run(f, "BEGIN IMMEDIATE", "it cannot be written");

    for (change = STAILQ_FIRST(batch); is_written && change; change = STAILQ_NEXT(change, link))
        is_written = carry_out(f, ret_found, change);
    if (is_written)
        is_written = run(f, "COMMIT", "it cannot be written");
    if (is_written)
        return;
    if (f->db)
        sqlite3_exec(f->db, "ROLLBACK", NULL, NULL, NULL);
    close_database(f);
    STAILQ_FOREACH(change, batch, link)
    change->outcome = STATE_UNWRITTEN;
    while ((change = STAILQ_FIRST(ret_found))) {
        STAILQ_REMOVE_HEAD(ret_found, link);
        free(change);
    }
}

const char *state_file_problem(const struct state_file *f)
{
    return f->problem;
}

unsigned state_file_openings(const struct state_file *f)
{
    return f->openings;
}

unsigned state_file_moves(const struct state_file *f)
{
    return f->moves;
}

const char *state_file_name(const struct state_file *f)
{
    return f->name;
}

struct state_file *state_file_new(const char *name)
{
    struct state_file *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->lock = -1;
    f->slot = NO_SLOT;
    f->name = strdup(name);
    if (f->name)
        return f;
    free(f);
    return NULL;
}

void state_file_free(struct state_file *f)
{
    if (!f)
        return;
    close_database(f);
    if (f->lock >= 0)
        close(f->lock);
    free(f->name);
    free(f);
}
