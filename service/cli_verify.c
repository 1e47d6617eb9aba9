/*
 * service/cli_verify.c: `sluice verify`: the invariants of a data folder, read-only; of one that a server uses, too.
 *
 * Each check is a query that must find nothing. They say what holds after any crash, not what a good run looks like.
 */
#include <dirent.h>

#include "base/arena.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/summed.h"
#include "service/audit.h"
#include "service/cli.h"

typedef struct invariant {
    const char *name, *sql; /* the query gives one text for each violation */
} invariant;

#define FINAL "('SUCCESS','WARNING','FAILED','KILLED','CANCELLED','RETRIED','SKIPPED')"

static const invariant invariants[] = {
    { "a date of a trigger has one execution",
      "SELECT ns || '.' || flow_id || ' ' || trigger_id || ' ' || tick_ms FROM executions WHERE tick_ms IS NOT NULL GROUP BY ns, flow_id, trigger_id, tick_ms, tick_kind HAVING count(*) > 1" },
    { "the next date of a schedule comes after its last one", "SELECT ns || '.' || flow_id || ' ' || id FROM triggers WHERE last_ms > 0 AND next_ms <= last_ms" },
    { "an execution that is over has a final state and an end", "SELECT id FROM executions WHERE over = 1 AND (state NOT IN " FINAL " OR ended_ms = 0)" },
    { "a final state is never left", "SELECT id FROM executions WHERE state NOT IN " FINAL " AND ended_ms > 0 AND history NOT LIKE '%RESTARTED%'" },
    { "the state of an execution is the last one of its history", "SELECT id FROM executions WHERE history <> '' AND history NOT LIKE state || ' %' AND history NOT LIKE '%;' || state || ' %'" },
    { "no task run goes on when its execution is over", "SELECT r.id FROM taskruns r JOIN executions e ON e.id = r.execution WHERE e.over = 1 AND r.state NOT IN " FINAL },
    { "nothing starts after the end of an execution but what follows it",
      "SELECT r.id FROM taskruns r JOIN executions e ON e.id = r.execution WHERE e.over = 1 AND e.ended_ms > 0 AND r.created_ms > e.ended_ms AND r.role <> 4 AND r.parent IS NULL" },
    { "every task run belongs to an execution", "SELECT r.id FROM taskruns r LEFT JOIN executions e ON e.id = r.execution WHERE e.id IS NULL" },
    { "every parent of a task run is there", "SELECT r.id FROM taskruns r LEFT JOIN taskruns p ON p.execution = r.execution AND p.id = r.parent WHERE r.parent IS NOT NULL AND p.id IS NULL" },
    { "task runs are numbered without repetition", "SELECT execution || ' ' || seq FROM taskruns GROUP BY execution, seq HAVING count(*) > 1" },
    { "a success has no failed task run on its path", "SELECT e.id FROM executions e JOIN taskruns r ON r.execution = e.id WHERE e.state = 'SUCCESS' AND r.state IN ('FAILED','KILLED') AND r.role = 0 AND r.parent IS NULL" },
    { "every flow has the text of its newest revision", "SELECT f.ns || '.' || f.id FROM flows f LEFT JOIN revisions r ON r.ns = f.ns AND r.id = f.id AND r.revision = f.revision LEFT JOIN sources s ON s.hash = f.source WHERE r.id IS NULL OR s.hash IS NULL" },
    { "every trigger belongs to a flow that is there", "SELECT t.ns || '.' || t.flow_id || ' ' || t.id FROM triggers t LEFT JOIN flows f ON f.ns = t.ns AND f.id = t.flow_id AND f.deleted = 0 WHERE f.id IS NULL" },
    { "every execution has the text of its flow", "SELECT e.id FROM executions e LEFT JOIN sources s ON s.hash = e.source WHERE s.hash IS NULL" },
    { "every token has an owner with a role", "SELECT id FROM tokens WHERE role NOT IN ('viewer','operator','author','admin')" },
};

typedef struct verifier {
    sl_cli *cli;
    sl_val *rows;               /* for --output json */
    int broken;
} verifier;

static void report(verifier *v, const char *name, bool ok, sl_str detail)
{
    v->broken += !ok;
    if (!v->cli->json) {
        sl_cli_print("%-4s %s%s%.*s\n", ok ? "ok" : "BAD", name, detail.n ? ": " : "", SL_ARG(detail));
        return;
    }
    sl_val *one = sl_map_of(v->cli->arena, "check", sl_val_c(v->cli->arena, name));
    sl_map_set_bool(v->cli->arena, one, "ok", ok);
    sl_map_opt_str(v->cli->arena, one, "detail", detail);
    sl_list_add(v->cli->arena, v->rows, one);
}

static void check(verifier *v, sl_db *db, const invariant *i)
{
    enum { SHOWN = 5 };
    sl_err err;
    sl_buf found = sl_buf_new(v->cli->arena, 4096);
    int n = 0, rc;
    sl_stmt *q = sl_db_query(db, &err, i->sql, "");
    rc = q ? 1 : -1;
    while (q != NULL && (rc = sl_stmt_next(q, &err)) == 1)
        if (n++ < SHOWN) {
            sl_str one = sl_col_str(q, v->cli->arena, 0);
            sl_buf_fmt(&found, "%s%.*s", n > 1 ? ", " : "", SL_ARG(one));
        }
    if (n > SHOWN)
        sl_buf_fmt(&found, " and %d more", n - SHOWN);
    report(v, i->name, rc == 0 && n == 0, rc < 0 ? sl_str_c(err.message) : sl_buf_str(&found));
}

/* Every line of a log is a whole JSON object, of the execution's own task runs. */
static void check_logs(verifier *v)
{
    SL_ARENA a = sl_arena_new();
    sl_err err;
    int64_t files = 0, lines = 0;
    sl_str bad = SL_S(""), dir = sl_fmt(a, "%s/logs", v->cli->data_dir), line;
    DIR *d = opendir(dir.p);
    for (struct dirent *entry; d != NULL && (entry = readdir(d)) != NULL;) {
        SL_ARENA own = sl_arena_new();
        if (!sl_str_ends(sl_str_c(entry->d_name), SL_S(".jsonl")))
            continue;
        SL_READER r = sl_reader_file(sl_fmt(own, "%.*s/%s", SL_ARG(dir), entry->d_name).p, &err);
        sl_lines *all = r ? sl_lines_new(own, r, 1 << 20) : NULL;
        files++;
        int rc = -1;
        while (all != NULL && (rc = sl_lines_next(all, &line, &err)) == 1) {
            lines++;
            if (!sl_is(sl_json_parse(own, line, &err), SL_MAP))
                bad = sl_fmt(a, "%s, line %lld", entry->d_name, (long long)lines);
        }
        if (rc < 0)
            bad = sl_fmt(a, "%s: %s", entry->d_name, err.message);
    }
    if (d != NULL)
        closedir(d);
    report(v, "every log entry is whole", bad.n == 0, bad.n ? bad : sl_fmt(a, "%lld entries in %lld logs", (long long)lines, (long long)files));
}

static void check_values(verifier *v, sl_db *db)
{
    sl_err err;
    int64_t records = 0;
    const char *path = sl_fmt(v->cli->arena, "%s/kv.db", v->cli->data_dir).p;
    sl_kv *kv = sl_kv_open(path, v->cli->data_dir, false, &err);
    bool ok = kv != NULL && sl_kv_verify(kv, &records, &err);
    report(v, "values and secrets open, none was changed", ok, ok ? sl_fmt(v->cli->arena, "%lld records", (long long)records) : sl_str_c(err.message));
    if (ok && db != NULL) {
        ok = sl_audit_verify(db, kv, &records, &err);
        report(v, "the audit log is as it was written", ok, ok ? sl_fmt(v->cli->arena, "%lld records", (long long)records) : sl_str_c(err.message));
    }
    sl_kv_close(kv);
}

typedef struct file_checker {
    const char *root;
    int64_t checked, without;
    sl_str bad;                 /* the first that is damaged */
    sl_arena *arena;
} file_checker;

static bool check_file(void *self, sl_str relative, int64_t size, sl_err *err)
{
    (void)size;
    file_checker *f = self;
    SL_ARENA a = sl_arena_new();
    bool carries = false;
    const char *path = sl_fmt(a, "%s/%.*s", f->root, SL_ARG(relative)).p;
    /* What a server has removed since, or has not finished, is nobody's file. */
    if (sl_str_ends(relative, SL_S(".part")) || sl_summed_check_anew(path, path, &carries, err) || !sl_fs_exists(path)) {
        f->checked += carries;
        f->without += !carries;
    } else if (f->bad.n == 0)
        f->bad = sl_fmt(f->arena, "%s", err->message);
    return true;
}

/* Reads every stored file: as long as the disk takes. */
static void check_files(verifier *v)
{
    enum { FILES_MAX = 100000000 };
    sl_err err;
    file_checker f = { .root = sl_fmt(v->cli->arena, "%s/storage", v->cli->data_dir).p, .arena = v->cli->arena };
    if (sl_fs_exists(f.root) && !sl_fs_walk(f.root, FILES_MAX, check_file, &f, &err))
        f.bad = sl_str_c(err.message);
    sl_str counts = sl_fmt(v->cli->arena, "%lld files, and %lld that carry no checksum", (long long)f.checked, (long long)f.without);
    report(v, "every stored file is what was written", f.bad.n == 0, f.bad.n ? f.bad : counts);
}

static int verify(sl_cli *c)
{
    sl_err err;
    verifier v = { .cli = c, .rows = sl_list(c->arena) };
    const char *state = sl_fmt(c->arena, "%s/state.db", c->data_dir).p;
    if (!sl_fs_exists(sl_fmt(c->arena, "%s/kv.db", c->data_dir).p))
        return sl_cli_fail(1, "there is no data folder at %s", c->data_dir);
    sl_db *db = sl_fs_exists(state) ? sl_db_open_reader(state, &err) : NULL;
    check_values(&v, db);
    if (sl_fs_exists(state)) {
        bool whole = db != NULL && sl_db_integrity(db, &err);
        report(&v, "the database is whole", whole, whole ? SL_S("") : sl_str_c(err.message));
    }
    for (size_t i = 0; db != NULL && i < SL_COUNT(invariants); i++)
        check(&v, db, &invariants[i]);
    sl_db_close(db);
    check_logs(&v);
    if (sl_cli_has(c, "--files"))
        check_files(&v);
    if (c->json)
        sl_cli_print("%.*s\n", SL_ARG(sl_json(c->arena, v.rows)));
    return v.broken > 0 ? sl_cli_fail(1, "%d invariant%s broken", v.broken, v.broken == 1 ? " is" : "s are") : 0;
}

static const sl_cli_opt opts[] = { { "--files", NULL, NULL, false, "read every stored file, too, and compare it with its checksum" }, { 0 } };

const sl_command sl_command_verify = { "verify", "[--files]", "Checks the invariants of a data folder: nothing lost, nothing twice, nothing changed.", opts, 0, 0, verify };
