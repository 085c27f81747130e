#include "monitor/database.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/strings.h"
#include "monitor/labels/kept_codec.h"
#include "monitor/monitor.h"

namespace leadsman {
namespace {

constexpr int kSchemaVersion = 3;
/// Short: another process (a person with the sqlite3 shell) may hold the lock, and the next flush
/// tries again.
constexpr int kBusyTimeoutMs = 50;

// Predictions are appended in the order of arrival and found through an index over a 64-bit hash of
// request id and row: ids are random, and in a table ordered by them nearly every insert would touch
// a page of its own; here only the narrow index has that. (What it saves has not been measured apart
// from other changes.) `key` is not unique: of an id used twice the first row counts.
constexpr const char* kSchema = R"sql(
CREATE TABLE IF NOT EXISTS predictions (
  id INTEGER PRIMARY KEY, key INTEGER NOT NULL, request_id TEXT NOT NULL, row INTEGER NOT NULL,
  model TEXT NOT NULL, version INTEGER NOT NULL, predicted TEXT NOT NULL, score REAL NOT NULL,
  at_ms INTEGER NOT NULL, weight REAL NOT NULL, expires_ms INTEGER NOT NULL, label TEXT,
  labelled_ms INTEGER, drawn INTEGER NOT NULL DEFAULT 0, answer INTEGER NOT NULL DEFAULT 0,
  score_of INTEGER NOT NULL DEFAULT 0, segments TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS predictions_key ON predictions (key);
CREATE INDEX IF NOT EXISTS predictions_expiry ON predictions (expires_ms);
CREATE TABLE IF NOT EXISTS quality_totals (
  model TEXT NOT NULL, version INTEGER NOT NULL, labelled REAL NOT NULL, wrong REAL NOT NULL,
  labelled_requests INTEGER NOT NULL, wrong_requests INTEGER NOT NULL,
  drawn_labelled INTEGER NOT NULL DEFAULT 0, drawn_wrong INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (model, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS windows (
  model TEXT NOT NULL, version INTEGER NOT NULL, start_ms INTEGER NOT NULL, seconds REAL NOT NULL,
  requests INTEGER NOT NULL, errors INTEGER NOT NULL, latency_p50_seconds REAL NOT NULL,
  latency_p99_seconds REAL NOT NULL, labelled INTEGER NOT NULL, wrong INTEGER NOT NULL, predicted TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS windows_start ON windows (start_ms);
)sql";

/// References and evidence of drift, and the places that names of features have in them; what labels tell beyond right and
/// wrong, and losses; what there was before a start; what was had of edges. Made whenever they are
/// not there: a program that does not know a table loses nothing by it, so they need no version of
/// their own.
constexpr const char* kByteTables = R"sql(
CREATE TABLE IF NOT EXISTS quality_details (
  model TEXT NOT NULL, version INTEGER NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY (model, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS quality_losses (
  model TEXT NOT NULL, version INTEGER NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY (model, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS drift (
  model TEXT NOT NULL, version INTEGER NOT NULL, what TEXT NOT NULL, written_ms INTEGER NOT NULL,
  bytes BLOB NOT NULL, PRIMARY KEY (model, version, what)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS feature_names (
  model TEXT NOT NULL, place INTEGER NOT NULL, name TEXT NOT NULL,
  PRIMARY KEY (model, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions_seen (
  model TEXT NOT NULL, version INTEGER NOT NULL, observed INTEGER NOT NULL, last_ms INTEGER NOT NULL,
  PRIMARY KEY (model, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept_counts (
  watch TEXT NOT NULL, model TEXT NOT NULL, at_ms INTEGER NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY (watch, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS edges (
  edge TEXT NOT NULL, process INTEGER NOT NULL, sequence INTEGER NOT NULL, seen_ms INTEGER NOT NULL,
  stopped INTEGER NOT NULL, PRIMARY KEY (edge, process)) WITHOUT ROWID;
)sql";

/// Version 1 did not know which requests a split had drawn: none of its rows counts as evidence.
constexpr const char* kFrom1To2 = R"sql(
ALTER TABLE predictions ADD COLUMN drawn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE quality_totals ADD COLUMN drawn_labelled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE quality_totals ADD COLUMN drawn_wrong INTEGER NOT NULL DEFAULT 0;
)sql";

/// Version 2 kept the first row's highest score whatever it was of: none of its scores is used.
constexpr const char* kFrom2To3 = R"sql(
ALTER TABLE predictions ADD COLUMN answer INTEGER NOT NULL DEFAULT 0;
ALTER TABLE predictions ADD COLUMN score_of INTEGER NOT NULL DEFAULT 0;
ALTER TABLE predictions ADD COLUMN segments TEXT NOT NULL DEFAULT '';
)sql";

/// Added to a file of version 3 where it is not there: a program that does not know it loses nothing by it.
constexpr const char* kClassScores =
    "ALTER TABLE predictions ADD COLUMN class_scores BLOB NOT NULL DEFAULT x''";

/// A prepared statement; reset after each use by Use.
class Statement {
 public:
  Statement() = default;
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  int Prepare(sqlite3* db, const char* sql) {
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
  }
  void Bind(int i, int64_t v) { sqlite3_bind_int64(statement_, i, v); }
  void Bind(int i, double v) { sqlite3_bind_double(statement_, i, v); }
  /// `v` must stay until the statement has been run.
  void Bind(int i, const std::string& v) {
    sqlite3_bind_text(statement_, i, v.data(), static_cast<int>(v.size()), SQLITE_STATIC);
  }
  void BindBlob(int i, const std::string& v) {
    sqlite3_bind_blob64(statement_, i, v.data(), v.size(), SQLITE_STATIC);
  }
  int Step() { return sqlite3_step(statement_); }
  int Run() {
    int rc = Step();
    Reset();
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
  }
  void Reset() { sqlite3_reset(statement_); }
  int64_t Int(int column) { return sqlite3_column_int64(statement_, column); }
  double Real(int column) { return sqlite3_column_double(statement_, column); }
  bool IsNull(int column) { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::string Text(int column) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    if (text == nullptr) return {};
    return {text, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }
  std::string Blob(int column) {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    if (bytes == nullptr) return {};
    return {bytes, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
};

/// FNV-1a with a final mix; lies in the file, so it must never change.
int64_t KeyOf(const std::string& request_id, uint32_t row) {
  uint64_t h = 0xcbf29ce484222325ull;
  for (char c : request_id) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  h = (h ^ row) * 0x9e3779b97f4a7c15ull;
  return static_cast<int64_t>(h ^ (h >> 32));
}

/// What a newer program may have written is not known here.
AnswerKind AnswerFrom(int64_t stored) {
  return stored == 1 ? AnswerKind::kClass
                     : (stored == 2 ? AnswerKind::kNumber : AnswerKind::kUnknown);
}
ScoreOf ScoreFrom(int64_t stored) {
  return stored == 1 ? ScoreOf::kBestClass
                     : (stored == 2 ? ScoreOf::kSecondClass : ScoreOf::kNothing);
}

bool MeansBroken(int rc) { return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB; }
/// Its own files take room too: a file of memory that its processes share is an I/O error where it has none.
bool MeansNoRoom(int rc) { return (rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_IOERR; }

constexpr const char* kFind =
    "SELECT model, version, predicted, score, at_ms, expires_ms, weight, "
    "label, drawn, answer, score_of, segments, class_scores FROM predictions "
    "WHERE key=? AND request_id=? AND row=? ORDER "
    "BY id LIMIT 1";

}  // namespace

struct Database::Connection {
  sqlite3* db = nullptr;
  Statement insert, mark, quality, details, losses, window, drift, no_drift, name, seen, counts,
      no_counts, edge, purge_predictions, purge_windows, purge_forgotten, purge_seen, purge_edges,
      find;

  ~Connection() {
    // sqlite3_close_v2 waits for the statements, which are members and end after this body.
    sqlite3_close_v2(db);
  }
  Status Error(const char* what) const {
    return UnavailableError(StrCat("monitor database: ", what, ": ", sqlite3_errmsg(db)));
  }
  const char* WriteSeenAndCounts(const Batch& batch);
  /// Gives `take` each row of `sql` in turn; `bind` gives the values of its parameters.
  template <typename Bind, typename Take>
  Status Rows(const char* what, const char* sql, Bind bind, Take take) {
    Statement s;
    if (s.Prepare(db, sql) != SQLITE_OK) return Error(what);
    bind(s);
    int rc;
    while ((rc = s.Step()) == SQLITE_ROW) take(s);
    return rc == SQLITE_DONE ? OkStatus() : Error(what);
  }
  /// SQLITE_ROW when all that a start reads can be read. (No integrity check: that reads all of the file.)
  int Probe();
  int Exec(const char* sql) { return sqlite3_exec(db, sql, nullptr, nullptr, nullptr); }
  int Open(const std::string& path, int flags) {
    int rc = sqlite3_open_v2(path.c_str(), &db, flags | SQLITE_OPEN_NOMUTEX, nullptr);
    if (rc == SQLITE_OK) sqlite3_busy_timeout(db, kBusyTimeoutMs);
    return rc;
  }
};

int Database::Connection::Probe() {
  constexpr const char* kNewestWindows =
      "SELECT count(*), max(length(predicted)) FROM (SELECT predicted FROM windows ORDER BY "
      "start_ms DESC LIMIT 20000)";
  int rc = SQLITE_ROW;
  for (const char* sql :
       {"SELECT count(*), sum(labelled) FROM quality_totals", kNewestWindows,
        "SELECT count(*), sum(length(bytes)) FROM drift",
        "SELECT count(*), sum(length(bytes)) FROM quality_details",
        "SELECT count(*), sum(length(bytes)) FROM quality_losses",
        "SELECT count(*), sum(length(name)) FROM feature_names",
        "SELECT count(*), sum(length(bytes)) FROM kept_counts",
        "SELECT count(*), max(last_ms) FROM versions_seen",
        "SELECT count(*), max(sequence) FROM edges", "SELECT max(expires_ms) FROM predictions"}) {
    Statement probe;
    if ((rc = probe.Prepare(db, sql)) == SQLITE_OK) rc = probe.Step();
    if (rc != SQLITE_ROW) return rc;
  }
  return rc;
}

/// Null, or what failed.
const char* Database::Connection::WriteSeenAndCounts(const Batch& batch) {
  for (const auto& [key, of] : batch.seen) {
    seen.Bind(1, key.first);
    seen.Bind(2, key.second);
    seen.Bind(3, int64_t{of.observed});
    seen.Bind(4, of.last_ms);
    if (seen.Run() != SQLITE_OK) return "write versions";
  }
  for (const auto& [key, stored] : batch.counts) {
    Statement& statement = stored.counts.bytes.empty() ? no_counts : counts;
    statement.Bind(1, key.first);
    statement.Bind(2, key.second);
    if (!stored.counts.bytes.empty()) {
      statement.Bind(3, stored.at_ms);
      statement.BindBlob(4, stored.counts.bytes);
    }
    if (statement.Run() != SQLITE_OK) return "write counts";
  }
  return nullptr;
}

Database::Database(std::string path) : path_(std::move(path)) {}
Database::~Database() = default;

Status Database::why_not_open() const {
  MutexLock lock(mutex_);
  return why_not_;
}

/// In one process' own memory a connection that lets no other one in keeps what others would have to share in a file: so a
/// disk without room can be read, what lies in the log included.
void Database::Hold() {
  state_ = State::kUnread;
  auto held = std::make_unique<Connection>();
  std::error_code error;
  const auto size = std::filesystem::file_size(path_, error);
  if (error || size == 0) {
    state_ = State::kNothing;
    return;
  }
  if (held->Open(path_, SQLITE_OPEN_READWRITE) != SQLITE_OK) return;
  held->Exec("PRAGMA locking_mode=EXCLUSIVE");
  if (held->Probe() != SQLITE_ROW || held->find.Prepare(held->db, kFind) != SQLITE_OK) {
    // The first page of a log, or of an empty file, is all that may have had room.
    Statement tables;
    if (tables.Prepare(held->db, "SELECT count(*) FROM sqlite_master") == SQLITE_OK &&
        tables.Step() == SQLITE_ROW && tables.Int(0) == 0)
      state_ = State::kNothing;
    return;
  }
  held_ = std::move(held);
  state_ = State::kHeld;
}

/// Of the writing thread.
Status Database::OpenNow() {
  {
    MutexLock lock(mutex_);
    if (state_ == State::kOpen) return OkStatus();
    if (state_ == State::kUnread) return why_not_;
    held_.reset();
  }
  Failure failure;
  auto opened = TryOpen(path_, failure);
  MutexLock lock(mutex_);
  if (!opened.ok()) {
    if (state_ == State::kHeld) {
      Hold();
      state_ = State::kHeld;  // what it holds has been read, in any case
    }
    return why_not_ = opened.status();
  }
  writer_ = std::move((*opened)->writer_);
  MutexLock theirs((*opened)->mutex_);
  finder_ = std::move((*opened)->finder_);
  state_ = State::kOpen;
  why_not_ = OkStatus();
  return OkStatus();
}

template <typename Bind, typename Take>
Status Database::ReadRows(const char* what, const char* sql, Bind bind, Take take) {
  {
    MutexLock lock(mutex_);
    if (state_ != State::kOpen)
      return held_ != nullptr ? held_->Rows(what, sql, bind, take) : OkStatus();
  }
  Connection own;
  if (own.Open(path_, SQLITE_OPEN_READONLY) != SQLITE_OK) return own.Error(what);
  return own.Rows(what, sql, bind, take);
}

Status Database::ReadRows(const char* what, const char* sql, auto take) {
  return ReadRows(
      what, sql, [](Statement&) {}, take);
}

Result<std::unique_ptr<Database>> Database::TryOpen(const std::string& path, Failure& failure) {
  std::unique_ptr<Database> database(new Database(path));
  auto fail = [&](Connection& c, int rc, const char* what) {
    failure = {MeansBroken(rc), MeansNoRoom(rc)};
    return Annotate(c.Error(what), path);
  };
  // Request ids and predicted classes are nobody else's: SQLite gives its other files the same mode. A file that is there
  // keeps the one it has, and is not opened: closing it would let go of the locks that this process has on it.
  if (int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); fd >= 0) {
    close(fd);
  } else if (errno == ENOSPC || errno == EDQUOT) {
    failure.no_room = true;
    return Annotate(UnavailableError("monitor database: open: the disk has no room for a file"),
                    path);
  }
  auto writer = std::make_unique<Connection>();
  int rc = writer->Open(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  if (rc != SQLITE_OK) return fail(*writer, rc, "open");
  if ((rc = writer->Exec("PRAGMA journal_mode=WAL")) != SQLITE_OK) return fail(*writer, rc, "WAL");
  writer->Exec("PRAGMA synchronous=NORMAL");
  // 16 MB: a page that many rows touch is written into the database, and synced with it, once for all of them.
  writer->Exec("PRAGMA wal_autocheckpoint=4000");
  writer->Exec("PRAGMA temp_store=MEMORY");
  writer->Exec("PRAGMA cache_size=-8192");
  int64_t version = 0;
  {
    Statement statement;
    if ((rc = statement.Prepare(writer->db, "PRAGMA user_version")) != SQLITE_OK) {
      return fail(*writer, rc, "read");
    }
    if (statement.Step() == SQLITE_ROW) version = statement.Int(0);
  }
  if (version > kSchemaVersion) {
    return FailedPreconditionError(StrCat("monitor database ", path, " has schema version ",
                                          version, ", this program knows up to ", kSchemaVersion,
                                          ": use a newer leadsman or another file"));
  }
  if (version < kSchemaVersion) {
    // One transaction: a process that is killed here leaves the file as it was.
    rc = writer->Exec("BEGIN IMMEDIATE");
    if (rc == SQLITE_OK && version == 0) rc = writer->Exec(kSchema);
    if (rc == SQLITE_OK && version == 1) rc = writer->Exec(kFrom1To2);
    if (rc == SQLITE_OK && version > 0) rc = writer->Exec(kFrom2To3);
    if (rc == SQLITE_OK) rc = writer->Exec("PRAGMA user_version=3");
    if (rc == SQLITE_OK) rc = writer->Exec("COMMIT");
    if (rc != SQLITE_OK) return fail(*writer, rc, "create tables");
  }
  if ((rc = writer->Exec(kByteTables)) != SQLITE_OK) return fail(*writer, rc, "create tables");
  Statement columns;
  if (columns.Prepare(writer->db, "SELECT class_scores FROM predictions LIMIT 0") != SQLITE_OK) {
    if ((rc = writer->Exec(kClassScores)) != SQLITE_OK) return fail(*writer, rc, "add a column");
  }
  struct {
    Statement& statement;
    const char* sql;
  } const prepared[] = {
      {writer->insert,
       "INSERT INTO predictions (key, request_id, row, model, version, predicted, score, at_ms, "
       "weight, expires_ms, drawn, answer, score_of, segments, class_scores) VALUES "
       "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"},
      {writer->mark,
       "UPDATE predictions SET label=?, labelled_ms=? WHERE id = (SELECT min(id) FROM predictions "
       "WHERE key=? AND request_id=? AND row=?)"},
      {writer->quality, "INSERT OR REPLACE INTO quality_totals VALUES (?,?,?,?,?,?,?,?)"},
      {writer->details, "INSERT OR REPLACE INTO quality_details VALUES (?,?,?)"},
      {writer->losses, "INSERT OR REPLACE INTO quality_losses VALUES (?,?,?)"},
      {writer->window, "INSERT INTO windows VALUES (?,?,?,?,?,?,?,?,?,?,?)"},
      {writer->drift, "INSERT OR REPLACE INTO drift VALUES (?,?,?,?,?)"},
      {writer->no_drift, "DELETE FROM drift WHERE model=? AND version=? AND what=?"},
      {writer->name, "INSERT OR REPLACE INTO feature_names VALUES (?,?,?)"},
      {writer->seen, "INSERT OR REPLACE INTO versions_seen VALUES (?,?,?,?)"},
      {writer->counts, "INSERT OR REPLACE INTO kept_counts VALUES (?,?,?,?)"},
      {writer->no_counts, "DELETE FROM kept_counts WHERE watch=? AND model=?"},
      {writer->purge_seen, "DELETE FROM versions_seen WHERE last_ms < ?"},
      {writer->edge, "INSERT OR REPLACE INTO edges VALUES (?,?,?,?,?)"},
      {writer->purge_edges, "DELETE FROM edges WHERE seen_ms < ?"},
      {writer->purge_predictions,
       "DELETE FROM predictions WHERE id IN (SELECT id FROM predictions WHERE expires_ms < ? "
       "ORDER BY expires_ms LIMIT ?)"},
      {writer->purge_windows,
       "DELETE FROM windows WHERE rowid IN (SELECT rowid FROM windows WHERE start_ms < ? LIMIT "
       "1000)"},
      {writer->purge_forgotten,
       "DELETE FROM drift WHERE (model, version) IN (SELECT model, version FROM drift WHERE "
       "what='forgotten' AND written_ms < ?)"},
  };
  for (const auto& p : prepared) {
    if ((rc = p.statement.Prepare(writer->db, p.sql)) != SQLITE_OK) {
      return fail(*writer, rc, "prepare");
    }
  }
  auto finder = std::make_unique<Connection>();
  if ((rc = finder->Open(path, SQLITE_OPEN_READONLY)) != SQLITE_OK) {
    return fail(*finder, rc, "open for reading");
  }
  rc = finder->find.Prepare(finder->db, kFind);
  if (rc != SQLITE_OK) return fail(*finder, rc, "prepare");
  // A damaged page would keep the server from ever starting again.
  if ((rc = finder->Probe()) != SQLITE_ROW) return fail(*finder, rc, "read");
  database->writer_ = std::move(writer);
  MutexLock lock(database->mutex_);
  database->finder_ = std::move(finder);
  return database;
}

Result<std::unique_ptr<Database>> Database::Open(const std::string& path, WallTime now) {
  Failure failure;
  auto database = TryOpen(path, failure);
  if (database.ok()) return database;
  if (failure.no_room) {
    std::unique_ptr<Database> later(new Database(path));
    MutexLock lock(later->mutex_);
    later->Hold();
    later->why_not_ =
        later->state_ != State::kUnread
            ? database.status()
            : Annotate(database.status(),
                       "what it holds could not be read at the start and is not written over: "
                       "start again once the disk has room; until then");
    return later;
  }
  if (!failure.broken) return database;
  std::string aside = StrCat(path, ".broken-", UnixMillis(now));
  std::error_code error;
  std::filesystem::rename(path, aside, error);
  if (error) return Annotate(database.status(), StrCat("cannot put it aside as ", aside));
  // A log of the broken file must not be played into the new one.
  std::filesystem::remove(path + "-wal", error);
  std::filesystem::remove(path + "-shm", error);
  LOG_WARN("monitor database is broken; a new one was begun", {"database", path},
           {"put_aside_as", aside}, {"reason", database.status()});
  return TryOpen(path, failure);
}

Status Database::Write(const Batch& batch, const Purge& purge) {
  if (writer_ == nullptr) RETURN_IF_ERROR(OpenNow());
  Connection& c = *writer_;
  auto fail = [&](const char* what) {
    Status status = c.Error(what);
    c.Exec("ROLLBACK");
    return status;
  };
  if (c.Exec("BEGIN IMMEDIATE") != SQLITE_OK) return c.Error("begin");

  for (const KeptPrediction& p : batch.predictions) {
    c.insert.Bind(1, KeyOf(p.request_id, p.row));
    c.insert.Bind(2, p.request_id);
    c.insert.Bind(3, int64_t{p.row});
    c.insert.Bind(4, p.model);
    c.insert.Bind(5, p.version);
    c.insert.Bind(6, p.predicted);
    c.insert.Bind(7, p.score);
    c.insert.Bind(8, p.at_ms);
    c.insert.Bind(9, p.weight);
    c.insert.Bind(10, p.expires_ms);
    c.insert.Bind(11, int64_t{p.drawn});
    c.insert.Bind(12, static_cast<int64_t>(p.answer));
    c.insert.Bind(13, static_cast<int64_t>(p.score_of));
    c.insert.Bind(14, p.segments);
    const std::string scores = BytesOfScores(p.class_scores);
    c.insert.BindBlob(15, scores);
    if (c.insert.Run() != SQLITE_OK) return fail("insert prediction");
  }
  for (const LabelMark& m : batch.marks) {
    c.mark.Bind(1, m.label);
    c.mark.Bind(2, m.at_ms);
    c.mark.Bind(3, KeyOf(m.request_id, m.row));
    c.mark.Bind(4, m.request_id);
    c.mark.Bind(5, int64_t{m.row});
    if (c.mark.Run() != SQLITE_OK) return fail("mark as labelled");
  }
  for (const auto& [key, q] : batch.quality) {
    c.quality.Bind(1, key.first);
    c.quality.Bind(2, key.second);
    c.quality.Bind(3, q.labelled);
    c.quality.Bind(4, q.wrong);
    c.quality.Bind(5, static_cast<int64_t>(q.labelled_requests));
    c.quality.Bind(6, static_cast<int64_t>(q.wrong_requests));
    c.quality.Bind(7, static_cast<int64_t>(q.drawn_labelled));
    c.quality.Bind(8, static_cast<int64_t>(q.drawn_wrong));
    if (c.quality.Run() != SQLITE_OK) return fail("write quality totals");
  }
  for (const auto& [key, bytes] : batch.details) {
    c.details.Bind(1, key.first);
    c.details.Bind(2, key.second);
    c.details.BindBlob(3, bytes);
    if (c.details.Run() != SQLITE_OK) return fail("write quality details");
  }
  for (const auto& [key, bytes] : batch.losses) {
    c.losses.Bind(1, key.first);
    c.losses.Bind(2, key.second);
    c.losses.BindBlob(3, bytes);
    if (c.losses.Run() != SQLITE_OK) return fail("write losses");
  }
  for (const auto& [key, w] : batch.windows) {
    std::string predicted =
        nlohmann::json(w.predicted).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    c.window.Bind(1, key.first);
    c.window.Bind(2, key.second);
    c.window.Bind(3, UnixMillis(w.start));
    c.window.Bind(4, w.seconds);
    c.window.Bind(5, static_cast<int64_t>(w.requests));
    c.window.Bind(6, static_cast<int64_t>(w.errors));
    c.window.Bind(7, w.latency_p50_seconds);
    c.window.Bind(8, w.latency_p99_seconds);
    c.window.Bind(9, static_cast<int64_t>(w.labelled));
    c.window.Bind(10, static_cast<int64_t>(w.wrong));
    c.window.Bind(11, predicted);
    if (c.window.Run() != SQLITE_OK) return fail("write window");
  }
  for (const auto& [key, bytes] : batch.drift) {
    if (bytes.empty()) {
      c.no_drift.Bind(1, key.first.first);
      c.no_drift.Bind(2, key.first.second);
      c.no_drift.Bind(3, key.second);
      if (c.no_drift.Run() != SQLITE_OK) return fail("delete references");
      continue;
    }
    c.drift.Bind(1, key.first.first);
    c.drift.Bind(2, key.first.second);
    c.drift.Bind(3, key.second);
    c.drift.Bind(4, purge.now_ms);
    c.drift.BindBlob(5, bytes);
    if (c.drift.Run() != SQLITE_OK) return fail("write references");
  }
  for (const auto& [key, name] : batch.names) {
    c.name.Bind(1, key.first);
    c.name.Bind(2, static_cast<int64_t>(key.second));
    c.name.Bind(3, name);
    if (c.name.Run() != SQLITE_OK) return fail("write names of features");
  }
  if (const char* what = c.WriteSeenAndCounts(batch)) return fail(what);
  for (const auto& [key, mark] : batch.edges) {
    c.edge.Bind(1, mark.edge);
    c.edge.Bind(2, static_cast<int64_t>(mark.process));
    c.edge.Bind(3, static_cast<int64_t>(mark.sequence));
    c.edge.Bind(4, mark.seen_ms);
    c.edge.Bind(5, int64_t{mark.stopped});
    if (c.edge.Run() != SQLITE_OK) return fail("write edges");
  }
  // They come all the time: no more often than there is something of an edge to write.
  if (purge.edges_before_ms > 0 && !batch.edges.empty()) {
    c.purge_edges.Bind(1, purge.edges_before_ms);
    if (c.purge_edges.Run() != SQLITE_OK) return fail("delete old edges");
  }
  if (purge.predictions_expired_before_ms > 0) {
    c.purge_predictions.Bind(1, purge.predictions_expired_before_ms);
    c.purge_predictions.Bind(2, int64_t{purge.max_predictions});
    if (c.purge_predictions.Run() != SQLITE_OK) return fail("delete old predictions");
  }
  if (purge.windows_before_ms > 0) {
    c.purge_windows.Bind(1, purge.windows_before_ms);
    if (c.purge_windows.Run() != SQLITE_OK) return fail("delete old windows");
    c.purge_seen.Bind(1, purge.windows_before_ms);
    if (c.purge_seen.Run() != SQLITE_OK) return fail("forget old versions");
  }
  if (purge.forgotten_before_ms > 0) {
    c.purge_forgotten.Bind(1, purge.forgotten_before_ms);
    if (c.purge_forgotten.Run() != SQLITE_OK) return fail("delete references of gone versions");
  }
  if (c.Exec("COMMIT") != SQLITE_OK) return fail("commit");
  return OkStatus();
}

Result<std::optional<StoredPrediction>> Database::Find(const std::string& request_id,
                                                       uint32_t row) {
  MutexLock lock(mutex_);
  Connection* const connection = held_ != nullptr ? held_.get() : finder_.get();
  if (connection == nullptr) return std::optional<StoredPrediction>();
  Statement& find = connection->find;
  find.Bind(1, KeyOf(request_id, row));
  find.Bind(2, request_id);
  find.Bind(3, int64_t{row});
  int rc = find.Step();
  std::optional<StoredPrediction> found;
  if (rc == SQLITE_ROW) {
    found.emplace();
    KeptPrediction& p = found->prediction;
    p.request_id = request_id;
    p.row = row;
    p.model = find.Text(0);
    p.version = find.Int(1);
    p.predicted = find.Text(2);
    p.score = find.Real(3);
    p.at_ms = find.Int(4);
    p.expires_ms = find.Int(5);
    p.weight = find.Real(6);
    if (!find.IsNull(7)) found->label = find.Text(7);
    p.drawn = find.Int(8) != 0;
    p.answer = AnswerFrom(find.Int(9));
    p.score_of = ScoreFrom(find.Int(10));
    p.segments = find.Text(11);
    p.class_scores = ScoresOfBytes(find.Blob(12));
  }
  Status status = rc == SQLITE_ROW || rc == SQLITE_DONE ? OkStatus() : connection->Error("find");
  find.Reset();
  if (!status.ok()) return status;
  return found;
}

Result<std::map<VersionKey, QualityTotals>> Database::LoadQuality() {
  std::map<VersionKey, QualityTotals> totals;
  RETURN_IF_ERROR(ReadRows(
      "read quality totals",
      "SELECT model, version, labelled, wrong, labelled_requests, wrong_requests, drawn_labelled, "
      "drawn_wrong FROM quality_totals",
      [&](Statement& s) {
        totals[{s.Text(0), s.Int(1)}] = {s.Real(2),
                                         s.Real(3),
                                         static_cast<uint64_t>(s.Int(4)),
                                         static_cast<uint64_t>(s.Int(5)),
                                         static_cast<uint64_t>(s.Int(6)),
                                         static_cast<uint64_t>(s.Int(7))};
      }));
  return totals;
}

Result<std::vector<EdgeMark>> Database::LoadEdges(size_t limit) {
  std::vector<EdgeMark> marks;
  RETURN_IF_ERROR(ReadRows(
      "read edges",
      "SELECT edge, process, sequence, seen_ms, stopped FROM edges ORDER BY seen_ms DESC LIMIT ?",
      [&](Statement& s) { s.Bind(1, static_cast<int64_t>(limit)); },
      [&](Statement& s) {
        marks.push_back({s.Text(0), static_cast<uint64_t>(s.Int(1)),
                         static_cast<uint64_t>(s.Int(2)), s.Int(3), s.Int(4) != 0});
      }));
  return marks;
}

Result<std::map<VersionKey, std::string>> Database::LoadDetails() {
  std::map<VersionKey, std::string> details;
  RETURN_IF_ERROR(ReadRows("read quality details",
                           "SELECT model, version, bytes FROM quality_details", [&](Statement& s) {
                             details[{s.Text(0), s.Int(1)}] = s.Blob(2);
                           }));
  return details;
}

Result<std::map<VersionKey, std::string>> Database::LoadLosses() {
  std::map<VersionKey, std::string> losses;
  RETURN_IF_ERROR(ReadRows("read losses", "SELECT model, version, bytes FROM quality_losses",
                           [&](Statement& s) {
                             losses[{s.Text(0), s.Int(1)}] = s.Blob(2);
                           }));
  return losses;
}

Result<std::vector<DriftRow>> Database::LoadDrift(size_t limit, int64_t now_ms,
                                                  int64_t forgotten_before_ms) {
  // Where another process holds the lock, or the disk has no room, the next start does it.
  if (writer_ != nullptr) {
    writer_->purge_forgotten.Bind(1, forgotten_before_ms);
    writer_->purge_forgotten.Run();
    Statement forget;
    forget.Prepare(writer_->db,
                   "INSERT OR IGNORE INTO drift SELECT DISTINCT model, version, 'forgotten', ?, "
                   "x'31' FROM drift");
    forget.Bind(1, now_ms);
    forget.Run();
  }
  std::vector<DriftRow> rows;
  RETURN_IF_ERROR(ReadRows(
      "read references",
      "SELECT model, version, what, bytes FROM drift WHERE what != 'forgotten' ORDER BY written_ms "
      "DESC LIMIT ?",
      [&](Statement& s) { s.Bind(1, static_cast<int64_t>(limit)); },
      [&](Statement& s) {
        rows.push_back({{s.Text(0), s.Int(1)}, s.Text(2), s.Blob(3)});
      }));
  return rows;
}

Result<std::map<std::string, std::vector<std::string>>> Database::LoadFeatureNames() {
  // Likewise as in LoadDrift.
  if (writer_ != nullptr)
    writer_->Exec(
        "DELETE FROM feature_names WHERE model NOT IN (SELECT model FROM drift UNION SELECT model "
        "FROM windows UNION SELECT model FROM quality_totals)");
  std::map<std::string, std::vector<std::string>> all;
  RETURN_IF_ERROR(ReadRows("read names of features",
                           "SELECT model, place, name FROM feature_names ORDER BY model, place",
                           [&](Statement& s) {
                             std::vector<std::string>& names = all[s.Text(0)];
                             if (s.Int(1) == static_cast<int64_t>(names.size()))
                               names.push_back(s.Text(2));
                           }));
  return all;
}

Result<std::vector<std::pair<VersionKey, SeenVersion>>> Database::LoadSeen(size_t limit) {
  std::vector<std::pair<VersionKey, SeenVersion>> seen;
  RETURN_IF_ERROR(ReadRows(
      "read versions",
      "SELECT model, version, observed, last_ms FROM versions_seen ORDER BY last_ms DESC LIMIT ?",
      [&](Statement& s) { s.Bind(1, static_cast<int64_t>(limit)); },
      [&](Statement& s) {
        seen.push_back({{s.Text(0), s.Int(1)}, {s.Int(2) != 0, s.Int(3)}});
      }));
  return seen;
}

Result<std::vector<CountStore::Stored>> Database::LoadCounts(size_t limit) {
  std::vector<CountStore::Stored> rows;
  RETURN_IF_ERROR(ReadRows(
      "read counts", "SELECT watch, model, at_ms, bytes FROM kept_counts LIMIT ?",
      [&](Statement& s) { s.Bind(1, static_cast<int64_t>(limit)); },
      [&](Statement& s) {
        rows.push_back({{s.Text(0), s.Text(1), 0, s.Blob(3)}, s.Int(2)});
      }));
  return rows;
}

Result<std::vector<std::pair<VersionKey, WindowSummary>>> Database::ReadWindows(
    std::optional<std::string> model, int64_t from_ms, size_t limit) {
  const std::string name = model.value_or("");
  std::vector<std::pair<VersionKey, WindowSummary>> windows;
  auto bind = [&](Statement& s) {
    s.Bind(1, from_ms);
    s.Bind(2, int64_t{model ? 0 : 1});
    s.Bind(3, name);
    s.Bind(4, static_cast<int64_t>(limit));
  };
  auto take = [&](Statement& s) {
    WindowSummary w;
    w.start = FromUnixMillis(s.Int(2));
    w.seconds = s.Real(3);
    w.requests = static_cast<uint64_t>(s.Int(4));
    w.errors = static_cast<uint64_t>(s.Int(5));
    w.latency_p50_seconds = s.Real(6);
    w.latency_p99_seconds = s.Real(7);
    w.labelled = static_cast<uint64_t>(s.Int(8));
    w.wrong = static_cast<uint64_t>(s.Int(9));
    auto predicted = nlohmann::json::parse(s.Text(10), nullptr, false);
    if (predicted.is_object()) {
      for (const auto& [name_of_class, count] : predicted.items()) {
        if (count.is_number_unsigned()) w.predicted[name_of_class] = count.get<uint64_t>();
      }
    }
    windows.emplace_back(VersionKey{s.Text(0), s.Int(1)}, std::move(w));
  };
  RETURN_IF_ERROR(
      ReadRows("read windows",
               "SELECT model, version, start_ms, seconds, requests, errors, latency_p50_seconds, "
               "latency_p99_seconds, labelled, wrong, predicted FROM windows WHERE start_ms >= ? "
               "AND (? OR model = ?) ORDER BY start_ms DESC, rowid DESC LIMIT ?",
               bind, take));
  std::reverse(windows.begin(), windows.end());
  return windows;
}

}  // namespace leadsman
