#include "rollout/journal.h"

#include <sqlite3.h>

#include <nlohmann/json.hpp>

#include "base/mutex.h"
#include "base/strings.h"
#include "rollout/serialize.h"

namespace leadsman {
namespace {

constexpr int kBusyTimeoutMs = 1000;
constexpr int kKeptRollouts = 100;
constexpr const char* kSchemaVersion = "1";

constexpr const char* kSchema = R"sql(
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS models(
  model TEXT PRIMARY KEY, stable INTEGER NOT NULL, rejected TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rollouts(
  id INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT NOT NULL, candidate INTEGER NOT NULL,
  phase TEXT NOT NULL, reason TEXT NOT NULL, first TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ticks(
  rollout INTEGER NOT NULL, seq INTEGER NOT NULL, input TEXT NOT NULL, decision TEXT NOT NULL,
  PRIMARY KEY(rollout, seq)) WITHOUT ROWID;
)sql";

/// A prepared statement; binds in order, steps, is finalised when it goes.
class Statement {
 public:
  Statement(sqlite3* db, const char* sql) {
    rc_ = sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& Bind(int64_t v) {
    if (rc_ == SQLITE_OK) rc_ = sqlite3_bind_int64(statement_, ++index_, v);
    return *this;
  }
  Statement& Bind(std::string_view v) {
    if (rc_ == SQLITE_OK) {
      rc_ = sqlite3_bind_text(statement_, ++index_, v.data(), static_cast<int>(v.size()),
                              SQLITE_TRANSIENT);
    }
    return *this;
  }
  /// True while there is a row.
  bool Next() {
    if (rc_ != SQLITE_OK && rc_ != SQLITE_ROW) return false;
    rc_ = sqlite3_step(statement_);
    return rc_ == SQLITE_ROW;
  }
  int64_t Int(int column) { return sqlite3_column_int64(statement_, column); }
  std::string_view Text(int column) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    if (text == nullptr) return {};
    return {text, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
  }
  bool failed() const { return rc_ != SQLITE_DONE && rc_ != SQLITE_ROW && rc_ != SQLITE_OK; }
  int rc() const { return rc_; }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int rc_ = SQLITE_OK;
  int index_ = 0;
};

bool IsCorruption(int rc) {
  int primary = rc & 0xff;
  return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_SCHEMA ||
         primary == SQLITE_ERROR;
}

}  // namespace

struct Journal::Impl {
  sqlite3* db = nullptr;
  std::string path;
  Mutex mutex;  // a transaction is several calls on one connection

  ~Impl() { sqlite3_close(db); }

  std::string Advice() const {
    return StrCat(
        "move ", path,
        " (and its -wal and -shm) away to start with an empty journal; the versions that were ",
        "stable and the rollouts in it are forgotten then");
  }
  Status Error(int rc, const char* doing) const {
    std::string what = StrCat("rollout journal ", path.empty() ? "in memory" : path, ": ", doing,
                              ": ", sqlite3_errmsg(db));
    if (IsCorruption(rc)) return DataLossError(StrCat(what, "; ", Advice()));
    return UnavailableError(std::move(what));
  }
  Status DataLoss(const Status& status) const {
    return DataLossError(StrCat("rollout journal ", path, ": ", status.message(), "; ", Advice()));
  }

  Status Run(const char* sql, const char* doing) REQUIRES(mutex) {
    int rc = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
    return rc == SQLITE_OK ? OkStatus() : Error(rc, doing);
  }
  // Called under the mutex, from inside Transaction's lambdas, which clang's analysis does not follow.
  Status Finish(Statement& statement, const char* doing) {
    statement.Next();
    return statement.failed() ? Error(statement.rc(), doing) : OkStatus();
  }

  /// All of `body` or nothing.
  template <typename Body>
  Status Transaction(Body body) REQUIRES(mutex) {
    RETURN_IF_ERROR(Run("BEGIN IMMEDIATE", "begin"));
    Status status = body();
    if (status.ok()) status = Run("COMMIT", "commit");
    // SQLite may have rolled back by itself already (disk full); then this one fails, and that is
    // fine.
    if (!status.ok()) sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr);
    return status;
  }

  Result<RolloutState> ReadState(const char* sql, int64_t id) REQUIRES(mutex) {
    Statement read(db, sql);
    read.Bind(id);
    if (!read.Next()) {
      if (read.failed()) return Error(read.rc(), "read a rollout");
      return NotFoundError(StrCat("no rollout ", id));
    }
    auto state = ParseState(read.Text(0));
    if (!state.ok()) return DataLoss(state.status());
    return state;
  }

  Status WriteModel(const ModelRecord& model) {
    Statement insert(db, "INSERT OR REPLACE INTO models(model, stable, rejected) VALUES(?, ?, ?)");
    std::string rejected = nlohmann::json(model.rejected).dump();
    insert.Bind(model.model).Bind(model.stable).Bind(rejected);
    return Finish(insert, "write a model");
  }
};

Journal::Journal(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Journal::~Journal() = default;

Result<std::unique_ptr<Journal>> Journal::Open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
  int rc = sqlite3_open_v2(path.empty() ? ":memory:" : path.c_str(), &impl->db, flags, nullptr);
  if (rc != SQLITE_OK) return impl->Error(rc, "open");
  sqlite3_extended_result_codes(impl->db, 1);
  sqlite3_busy_timeout(impl->db, kBusyTimeoutMs);
  MutexLock lock(impl->mutex);
  RETURN_IF_ERROR(impl->Run("PRAGMA journal_mode=WAL", "open"));
  RETURN_IF_ERROR(impl->Run("PRAGMA synchronous=FULL", "open"));
  // What is in it is read in full at the start, so that damage shows now and not at a verdict.
  {
    Statement check(impl->db, "PRAGMA quick_check(1)");
    if (!check.Next()) return impl->Error(check.rc(), "check");
    if (check.Text(0) != "ok") {
      return DataLossError(
          StrCat("rollout journal ", path, " is damaged: ", check.Text(0), "; ", impl->Advice()));
    }
  }
  RETURN_IF_ERROR(impl->Run(kSchema, "create tables"));
  {
    Statement read(impl->db, "SELECT value FROM meta WHERE key = 'schema'");
    bool found = read.Next();
    if (read.failed()) return impl->Error(read.rc(), "read the schema version");
    if (found && read.Text(0) != kSchemaVersion) {
      return DataLossError(StrCat("rollout journal ", path, " has schema ", read.Text(0),
                                  ", this program writes ", kSchemaVersion, "; ", impl->Advice()));
    }
  }
  RETURN_IF_ERROR(
      impl->Run("INSERT OR IGNORE INTO meta VALUES('schema', '1')", "write the schema version"));
  return std::unique_ptr<Journal>(new Journal(std::move(impl)));
}

void Journal::LimitPages(int64_t pages) {
  MutexLock lock(impl_->mutex);
  std::string sql = StrCat("PRAGMA max_page_count=", pages);
  sqlite3_exec(impl_->db, sql.c_str(), nullptr, nullptr, nullptr);
}

Result<std::vector<ModelRecord>> Journal::Models() {
  MutexLock lock(impl_->mutex);
  std::vector<ModelRecord> models;
  Statement read(impl_->db, "SELECT model, stable, rejected FROM models ORDER BY model");
  while (read.Next()) {
    ModelRecord model;
    model.model = read.Text(0);
    model.stable = read.Int(1);
    try {
      model.rejected = nlohmann::json::parse(read.Text(2)).get<std::set<int64_t>>();
    } catch (const std::exception& e) {
      return impl_->DataLoss(
          DataLossError(StrCat("versions of model ", model.model, ": ", e.what())));
    }
    models.push_back(std::move(model));
  }
  if (read.failed()) return impl_->Error(read.rc(), "read models");
  return models;
}

Result<std::vector<RolloutRecord>> Journal::Rollouts() {
  MutexLock lock(impl_->mutex);
  std::vector<RolloutRecord> rollouts;
  Statement read(impl_->db, "SELECT id, state FROM rollouts ORDER BY id DESC");
  while (read.Next()) {
    auto state = ParseState(read.Text(1));
    if (!state.ok()) return impl_->DataLoss(state.status());
    rollouts.push_back({read.Int(0), std::move(state).value()});
  }
  if (read.failed()) return impl_->Error(read.rc(), "read rollouts");
  return rollouts;
}

Result<RolloutState> Journal::FirstState(int64_t id) {
  MutexLock lock(impl_->mutex);
  return impl_->ReadState("SELECT first FROM rollouts WHERE id = ?", id);
}

Result<RolloutState> Journal::LastState(int64_t id) {
  MutexLock lock(impl_->mutex);
  return impl_->ReadState("SELECT state FROM rollouts WHERE id = ?", id);
}

Result<std::vector<StepInput>> Journal::Inputs(int64_t id, uint64_t count) {
  std::vector<std::string> texts;
  {
    MutexLock lock(impl_->mutex);
    Statement read(impl_->db,
                   "SELECT seq, input FROM ticks WHERE rollout = ? AND seq <= ? ORDER BY seq");
    read.Bind(id).Bind(static_cast<int64_t>(std::min<uint64_t>(count, INT64_MAX)));
    while (read.Next()) {
      if (read.Int(0) != static_cast<int64_t>(texts.size()) + 1) {
        return impl_->DataLoss(
            DataLossError(StrCat("rollout ", id, " lacks tick ", texts.size() + 1)));
      }
      texts.emplace_back(read.Text(1));
    }
    if (read.failed()) return impl_->Error(read.rc(), "read ticks");
  }
  // Nobody waits for this: a tick of a rollout that runs is written meanwhile.
  std::vector<StepInput> inputs;
  for (const std::string& text : texts) {
    auto input = ParseInput(text);
    if (!input.ok()) return impl_->DataLoss(input.status());
    inputs.push_back(std::move(input).value());
  }
  return inputs;
}

Result<int64_t> Journal::NextId() {
  MutexLock lock(impl_->mutex);
  Statement read(impl_->db,
                 "SELECT COALESCE(MAX(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'rollouts'");
  if (!read.Next()) return impl_->Error(read.rc(), "read the highest rollout id");
  return read.Int(0);
}

Status Journal::SaveModel(const ModelRecord& model) {
  MutexLock lock(impl_->mutex);
  return impl_->Transaction([&] { return impl_->WriteModel(model); });
}

Status Journal::Begin(int64_t id, const RolloutState& first, const ModelRecord& model) {
  std::string text = SerializeState(first);
  MutexLock lock(impl_->mutex);
  return impl_->Transaction([&]() -> Status {
    Statement insert(impl_->db,
                     "INSERT INTO rollouts(id, model, candidate, phase, reason, first, state) "
                     "VALUES(?, ?, ?, ?, ?, ?, ?)");
    insert.Bind(id).Bind(first.model).Bind(first.candidate).Bind(RolloutPhaseName(first.phase));
    insert.Bind(first.reason).Bind(text).Bind(text);
    RETURN_IF_ERROR(impl_->Finish(insert, "write a rollout"));
    Statement oldest(impl_->db,
                     "SELECT id FROM rollouts WHERE model = ? ORDER BY id DESC LIMIT 1 OFFSET ?");
    oldest.Bind(first.model).Bind(int64_t{kKeptRollouts});
    if (oldest.Next()) {
      int64_t up_to = oldest.Int(0);
      Statement ticks(impl_->db,
                      "DELETE FROM ticks WHERE rollout IN (SELECT id FROM rollouts WHERE model = ? "
                      "AND id <= ?)");
      ticks.Bind(first.model).Bind(up_to);
      RETURN_IF_ERROR(impl_->Finish(ticks, "forget old ticks"));
      Statement rollouts(impl_->db, "DELETE FROM rollouts WHERE model = ? AND id <= ?");
      rollouts.Bind(first.model).Bind(up_to);
      RETURN_IF_ERROR(impl_->Finish(rollouts, "forget old rollouts"));
    }
    if (oldest.failed()) return impl_->Error(oldest.rc(), "look for old rollouts");
    return impl_->WriteModel(model);
  });
}

Status Journal::AppendTick(int64_t id, const StepInput& input, const StepOutput& output,
                           const std::optional<ModelRecord>& model) {
  std::string input_text = SerializeInput(input), state_text = SerializeState(output.state);
  MutexLock lock(impl_->mutex);
  return impl_->Transaction([&]() -> Status {
    Statement tick(impl_->db,
                   "INSERT INTO ticks(rollout, seq, input, decision) VALUES(?, ?, ?, ?)");
    tick.Bind(id)
        .Bind(static_cast<int64_t>(output.state.ticks))
        .Bind(input_text)
        .Bind(output.decision);
    RETURN_IF_ERROR(impl_->Finish(tick, "write a tick"));
    Statement update(impl_->db,
                     "UPDATE rollouts SET state = ?, phase = ?, reason = ? WHERE id = ?");
    update.Bind(state_text)
        .Bind(RolloutPhaseName(output.state.phase))
        .Bind(output.state.reason)
        .Bind(id);
    RETURN_IF_ERROR(impl_->Finish(update, "write a rollout's state"));
    return model ? impl_->WriteModel(*model) : OkStatus();
  });
}

Result<Replay> ReplayRollout(
    Journal& journal, int64_t id,
    const std::function<void(const StepInput&, const StepOutput&)>& visit) {
  // First how far it has come: a running controller goes on writing.
  ASSIGN_OR_RETURN(RolloutState stored, journal.LastState(id));
  ASSIGN_OR_RETURN(RolloutState state, journal.FirstState(id));
  ASSIGN_OR_RETURN(std::vector<StepInput> inputs, journal.Inputs(id, stored.ticks));
  for (const StepInput& input : inputs) {
    StepOutput output = Step(state, input);
    if (visit) visit(input, output);
    state = std::move(output.state);
  }
  const bool agrees = state == stored;
  return Replay{std::move(state), std::move(stored), agrees};
}

}  // namespace leadsman
