#include "monitor/alarm_store.h"

#include <pthread.h>
#include <sqlite3.h>

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/strings.h"
#include "monitor/alarm_json.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

constexpr int kBusyTimeoutMs = 1000;
constexpr auto kTryAgain = 5s;
constexpr auto kLastWait = 2s;
constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS alarms("
    "  id INTEGER PRIMARY KEY, state TEXT NOT NULL, record TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS silences(id INTEGER PRIMARY KEY, record TEXT NOT NULL);";

}  // namespace

/// Shared with the thread, which may outlive the store when the disk hangs.
struct AlarmStore::Impl {
  std::string path;
  sqlite3* db = nullptr;  ///< of the thread, once it runs
  Content found;
  Mutex mutex;
  CondVar changed;
  std::optional<Content> next GUARDED_BY(mutex);
  bool stop GUARDED_BY(mutex) = false;
  bool ended GUARDED_BY(mutex) = false;
  uint64_t errors GUARDED_BY(mutex) = 0;

  ~Impl() { sqlite3_close(db); }

  Status Error(int rc, const char* doing) const {
    std::string what = StrCat("alarms ", path, ": ", doing, ": ", sqlite3_errmsg(db));
    const int primary = rc & 0xff;
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
      return DataLossError(
          StrCat(what, "; move ", path, " away to start without alarms and silences of before"));
    }
    return UnavailableError(std::move(what));
  }
  Status Run(const char* sql, const char* doing) {
    const int rc = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
    return rc == SQLITE_OK ? OkStatus() : Error(rc, doing);
  }

  template <typename T>
  Status Read(const char* sql, Result<T> (*parse)(std::string_view), std::vector<T>& out) {
    sqlite3_stmt* statement = nullptr;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, nullptr);
    Status status;
    while (rc == SQLITE_OK && status.ok() && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
      auto parsed = parse(text != nullptr ? text : "");
      if (parsed.ok()) {
        out.push_back(std::move(*parsed));
        rc = SQLITE_OK;
      } else {
        status = DataLossError(StrCat("alarms ", path, ": ", parsed.status().message(), "; move ",
                                      path, " away to start without alarms of before"));
      }
    }
    sqlite3_finalize(statement);
    if (!status.ok()) return status;
    return rc == SQLITE_DONE ? OkStatus() : Error(rc, "read");
  }

  Status Insert(const char* sql, int64_t id, std::string_view state, const std::string& record) {
    sqlite3_stmt* statement = nullptr;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, nullptr);
    int at = 0;
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(statement, ++at, id);
    if (rc == SQLITE_OK && !state.empty()) {
      rc = sqlite3_bind_text(statement, ++at, state.data(), static_cast<int>(state.size()),
                             SQLITE_TRANSIENT);
    }
    if (rc == SQLITE_OK) {
      rc = sqlite3_bind_text(statement, ++at, record.data(), static_cast<int>(record.size()),
                             SQLITE_TRANSIENT);
    }
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? OkStatus() : Error(rc, "write");
  }

  Status WriteAll(const Content& content) {
    RETURN_IF_ERROR(Run("DELETE FROM alarms; DELETE FROM silences", "write"));
    for (const Alarm& alarm : content.alarms) {
      RETURN_IF_ERROR(Insert("INSERT INTO alarms(id, state, record) VALUES(?, ?, ?)", alarm.id,
                             AlarmStateName(alarm.state), AlarmJson(alarm)));
    }
    for (const Silence& silence : content.silences) {
      RETURN_IF_ERROR(Insert("INSERT INTO silences(id, record) VALUES(?, ?)", silence.id, "",
                             SilenceJson(silence)));
    }
    return OkStatus();
  }
  Status Write(const Content& content) {
    RETURN_IF_ERROR(Run("BEGIN IMMEDIATE", "begin"));
    Status status = WriteAll(content);
    if (status.ok()) status = Run("COMMIT", "commit");
    if (!status.ok()) sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr);
    return status;
  }

  /// The newest content, when there is one; nothing when it is time to end.
  std::optional<Content> Await() {
    MutexLock lock(mutex);
    while (!next && !stop) changed.WaitFor(mutex, 1h);
    return std::exchange(next, std::nullopt);
  }
  /// Kept for another time, unless there is a newer one. False: there will be none.
  bool Keep(Content content) {
    MutexLock lock(mutex);
    ++errors;
    if (stop) return false;
    const auto until = std::chrono::steady_clock::now() + kTryAgain;
    while (!stop && std::chrono::steady_clock::now() < until)
      changed.WaitFor(mutex, until - std::chrono::steady_clock::now());
    if (!next) next = std::move(content);
    return true;
  }

  void WriteUntilStopped() {
    bool told = false;
    while (auto content = Await()) {
      const Status status = Write(*content);
      if (status.ok()) {
        told = false;
        continue;
      }
      if (!std::exchange(told, true)) {
        LOG_WARN("alarms are not written to the disk; it is tried again", {"reason", status});
      }
      if (!Keep(std::move(*content))) break;
    }
    MutexLock lock(mutex);
    ended = true;
    changed.NotifyAll();
  }
};

AlarmStore::AlarmStore(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<AlarmStore>> AlarmStore::Open(const std::string& path) {
  auto impl = std::make_shared<Impl>();
  impl->path = path;
  if (path.empty()) return std::unique_ptr<AlarmStore>(new AlarmStore(std::move(impl)));
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
  const int rc = sqlite3_open_v2(path.c_str(), &impl->db, flags, nullptr);
  if (rc != SQLITE_OK) return impl->Error(rc, "open");
  sqlite3_busy_timeout(impl->db, kBusyTimeoutMs);
  RETURN_IF_ERROR(impl->Run("PRAGMA journal_mode=WAL", "open"));
  RETURN_IF_ERROR(impl->Run(kSchema, "create tables"));
  RETURN_IF_ERROR(
      impl->Read("SELECT record FROM alarms ORDER BY id", ParseAlarm, impl->found.alarms));
  RETURN_IF_ERROR(
      impl->Read("SELECT record FROM silences ORDER BY id", ParseSilence, impl->found.silences));
  std::thread writer([impl] { impl->WriteUntilStopped(); });
  pthread_setname_np(writer.native_handle(), "alarm-store");
  writer.detach();
  return std::unique_ptr<AlarmStore>(new AlarmStore(std::move(impl)));
}

AlarmStore::~AlarmStore() {
  if (impl_->db == nullptr) return;
  MutexLock lock(impl_->mutex);
  impl_->stop = true;
  impl_->changed.NotifyAll();
  const auto until = std::chrono::steady_clock::now() + kLastWait;
  while (!impl_->ended && std::chrono::steady_clock::now() < until)
    impl_->changed.WaitFor(impl_->mutex, until - std::chrono::steady_clock::now());
}

const AlarmStore::Content& AlarmStore::found() const { return impl_->found; }

void AlarmStore::Save(Content content) {
  if (impl_->db == nullptr) return;
  MutexLock lock(impl_->mutex);
  impl_->next = std::move(content);
  impl_->changed.NotifyAll();
}

uint64_t AlarmStore::errors() const {
  MutexLock lock(impl_->mutex);
  return impl_->errors;
}

}  // namespace leadsman
