#include "monitor/alarm_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/start_thread.h"
#include "base/strings.h"
#include "monitor/alarm_json.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

constexpr int kBusyTimeoutMs = 1000;
constexpr auto kTryAgain = 5s;
constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS alarms("
    "  id INTEGER PRIMARY KEY, state TEXT NOT NULL, record TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS silences(id INTEGER PRIMARY KEY, record TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS owed("
    "  receiver TEXT NOT NULL, delivery TEXT NOT NULL, record TEXT NOT NULL,"
    "  PRIMARY KEY(receiver, delivery));";

/// What is to be written: nothing of a part that did not change.
struct Change {
  struct Book {
    std::vector<Alarm> alarms;
    std::vector<Silence> silences;
  };
  std::optional<Book> book;
  std::optional<std::vector<AlarmStore::Owed>> owed;

  bool empty() const { return !book && !owed; }
};

}  // namespace

struct AlarmStore::Impl {
  std::string path;
  sqlite3* db = nullptr;  ///< of the thread, once it runs; null while the disk has no room for it
  bool unread = false;    ///< what is there could not be read, and must stay
  Content found;
  std::set<std::pair<std::string, std::string>> owed;  ///< rows of that table; of the thread
  Mutex mutex;
  CondVar changed;
  Change next GUARDED_BY(mutex);
  bool writing GUARDED_BY(mutex) = false;
  bool failing GUARDED_BY(mutex) = false;
  std::optional<Trouble> trouble GUARDED_BY(mutex);
  bool stop GUARDED_BY(mutex) = false;
  bool ended GUARDED_BY(mutex) = false;
  uint64_t errors GUARDED_BY(mutex) = 0;
  std::thread writer;

  ~Impl() {
    if (writer.joinable()) writer.join();
    sqlite3_close(db);
  }

  Status Error(int rc, const char* doing) const {
    std::string what = StrCat("alarms ", path, ": ", doing, ": ", sqlite3_errmsg(db));
    const int primary = rc & 0xff;
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
      return DataLossError(
          StrCat(what, "; move ", path, " away to start without alarms and silences of before"));
    }
    return UnavailableError(std::move(what));
  }
  /// The file as it should be. On an error `no_room` says whether that is all; then it is closed again.
  Status OpenFile(bool& no_room) {
    no_room = false;
    // As monitor.db: names of features and logs, and what receivers are still to be told, are nobody
    // else's. SQLite gives its other files the same mode. One that is there is not opened: closing it would let go of the locks that
    // this process has on it.
    if (int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); fd >= 0) {
      close(fd);
    } else if (errno == ENOSPC || errno == EDQUOT) {
      no_room = true;
      return UnavailableError(StrCat("alarms ", path, ": open: the disk has no room for a file"));
    }
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
    int rc = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
    if (rc != SQLITE_OK) return Error(rc, "open");
    sqlite3_busy_timeout(db, kBusyTimeoutMs);
    const char* doing = "open";
    rc = sqlite3_exec(db, "PRAGMA journal_mode=WAL", nullptr, nullptr, nullptr);
    if (rc == SQLITE_OK) {
      doing = "create tables";
      rc = sqlite3_exec(db, kSchema, nullptr, nullptr, nullptr);
    }
    if (rc == SQLITE_OK) return OkStatus();
    Status failed = Error(rc, doing);
    no_room = (rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_IOERR;
    if (no_room) Close();
    return failed;
  }
  void Close() {
    sqlite3_close(db);
    db = nullptr;
  }
  /// By a connection that lets no other one in, which needs no room (as Database does it). Nothing may be there yet.
  void ReadWithoutRoom() {
    struct stat file {};
    if (stat(path.c_str(), &file) != 0 || file.st_size == 0) return;
    unread = true;
    if (sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX,
                        nullptr) == SQLITE_OK &&
        Run("PRAGMA locking_mode=EXCLUSIVE", "open").ok()) {
      int64_t tables = 0;
      const Status read = Read("SELECT count(*) FROM sqlite_master", [&](sqlite3_stmt* row) {
        tables = sqlite3_column_int64(row, 0);
        return OkStatus();
      });
      unread = !read.ok() || (tables > 0 && !ReadFound().ok());
      if (unread) found = {};
    }
    Close();
  }
  Status ReadFound() {
    RETURN_IF_ERROR(ReadAll("SELECT record FROM alarms ORDER BY id", ParseAlarm, found.alarms));
    RETURN_IF_ERROR(
        ReadAll("SELECT record FROM silences ORDER BY id", ParseSilence, found.silences));
    return ReadOwed();
  }
  Status Run(const char* sql, const char* doing) {
    const int rc = sqlite3_exec(db, sql, nullptr, nullptr, nullptr);
    return rc == SQLITE_OK ? OkStatus() : Error(rc, doing);
  }

  /// Calls `take` for each row; its error ends the reading.
  Status Read(const char* sql, const std::function<Status(sqlite3_stmt*)>& take) {
    sqlite3_stmt* statement = nullptr;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, nullptr);
    Status status;
    while (rc == SQLITE_OK && status.ok() && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
      status = take(statement);
      rc = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    if (!status.ok()) {
      return DataLossError(StrCat("alarms ", path, ": ", status.message(), "; move ", path,
                                  " away to start without alarms of before"));
    }
    return rc == SQLITE_DONE ? OkStatus() : Error(rc, "read");
  }
  static std::string Text(sqlite3_stmt* statement, int column) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
    return text != nullptr ? text : "";
  }
  template <typename T>
  Status ReadAll(const char* sql, Result<T> (*parse)(std::string_view), std::vector<T>& out) {
    return Read(sql, [&](sqlite3_stmt* row) -> Status {
      ASSIGN_OR_RETURN(T parsed, parse(Text(row, 0)));
      out.push_back(std::move(parsed));
      return OkStatus();
    });
  }
  Status ReadOwed() {
    return Read("SELECT receiver, record FROM owed ORDER BY rowid",
                [&](sqlite3_stmt* row) -> Status {
                  ASSIGN_OR_RETURN(AlarmNotice notice, ParseNotice(Text(row, 1)));
                  owed.emplace(Text(row, 0), notice.delivery);
                  found.owed.push_back(
                      {Text(row, 0), std::make_shared<const AlarmNotice>(std::move(notice))});
                  return OkStatus();
                });
  }

  /// One statement with these values; the first may be a number.
  Status Do(const char* sql, std::optional<int64_t> number,
            std::initializer_list<std::string> texts) {
    sqlite3_stmt* statement = nullptr;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, nullptr);
    int at = 0;
    if (rc == SQLITE_OK && number) rc = sqlite3_bind_int64(statement, ++at, *number);
    for (const std::string& text : texts) {
      if (rc != SQLITE_OK) break;
      rc = sqlite3_bind_text(statement, ++at, text.data(), static_cast<int>(text.size()),
                             SQLITE_TRANSIENT);
    }
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return rc == SQLITE_DONE ? OkStatus() : Error(rc, "write");
  }

  Status WriteBook(const Change::Book& book) {
    RETURN_IF_ERROR(Run("DELETE FROM alarms; DELETE FROM silences", "write"));
    for (const Alarm& alarm : book.alarms) {
      RETURN_IF_ERROR(Do("INSERT INTO alarms(id, state, record) VALUES(?, ?, ?)", alarm.id,
                         {std::string(AlarmStateName(alarm.state)), AlarmJson(alarm)}));
    }
    for (const Silence& silence : book.silences) {
      RETURN_IF_ERROR(
          Do("INSERT INTO silences(id, record) VALUES(?, ?)", silence.id, {SilenceJson(silence)}));
    }
    return OkStatus();
  }
  /// Only what is new and what has gone: a thousand may wait for each receiver.
  Status WriteOwed(const std::vector<Owed>& wanted) {
    std::set<std::pair<std::string, std::string>> gone = owed;
    for (const Owed& one : wanted) {
      if (gone.erase({one.receiver, one.notice->delivery}) > 0) continue;
      RETURN_IF_ERROR(Do("INSERT OR REPLACE INTO owed(receiver, delivery, record) VALUES(?, ?, ?)",
                         std::nullopt,
                         {one.receiver, one.notice->delivery, NoticeJson(*one.notice)}));
    }
    for (const auto& [receiver, delivery] : gone) {
      RETURN_IF_ERROR(Do("DELETE FROM owed WHERE receiver = ? AND delivery = ?", std::nullopt,
                         {receiver, delivery}));
    }
    return OkStatus();
  }
  Status WriteAll(const Change& change) {
    if (change.book) RETURN_IF_ERROR(WriteBook(*change.book));
    if (change.owed) RETURN_IF_ERROR(WriteOwed(*change.owed));
    return OkStatus();
  }
  Status Write(const Change& change) {
    if (unread) {
      return UnavailableError(StrCat("alarms ", path,
                                     " could not be read at the start, and is not ",
                                     "written over: start again once the disk has room"));
    }
    bool no_room = false;
    if (db == nullptr) RETURN_IF_ERROR(OpenFile(no_room));
    RETURN_IF_ERROR(Run("BEGIN IMMEDIATE", "begin"));
    Status status = WriteAll(change);
    if (status.ok()) status = Run("COMMIT", "commit");
    if (!status.ok()) {
      sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr);
      return status;
    }
    if (!change.owed) return status;
    owed.clear();
    for (const Owed& one : *change.owed) owed.emplace(one.receiver, one.notice->delivery);
    return status;
  }

  void NoteTrouble(const Status& why) REQUIRES(mutex) {
    if (!trouble) trouble = Trouble{{}, SystemClock().Now()};
    trouble->why = why.message();
  }
  /// The newest; empty when it is time to end.
  Change Await() {
    MutexLock lock(mutex);
    while (next.empty() && !stop) changed.WaitFor(mutex, 1h);
    writing = true;
    return std::exchange(next, {});
  }
  void NoteWritten() {
    MutexLock lock(mutex);
    writing = failing = false;
    trouble.reset();
    changed.NotifyAll();
  }
  /// Kept for another time, but for what there is newer of. False: there will be none.
  bool Keep(Change change, const Status& why) {
    MutexLock lock(mutex);
    ++errors;
    failing = true;
    NoteTrouble(why);
    changed.NotifyAll();
    if (stop) return false;
    const auto until = std::chrono::steady_clock::now() + kTryAgain;
    while (!stop && std::chrono::steady_clock::now() < until)
      changed.WaitFor(mutex, until - std::chrono::steady_clock::now());
    if (!next.book) next.book = std::move(change.book);
    if (!next.owed) next.owed = std::move(change.owed);
    return true;
  }

  /// No exception leaves the thread.
  Status WriteOrWhy(const Change& change) {
    try {
      return Write(change);
    } catch (const std::exception& e) {
      if (db != nullptr) sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr);
      return InternalError(StrCat("alarms ", path, ": ", e.what()));
    }
  }

  void WriteUntilStopped() {
    bool told = false;
    for (Change change = Await(); !change.empty(); change = Await()) {
      const Status status = WriteOrWhy(change);
      if (status.ok()) {
        told = false;
        NoteWritten();
        continue;
      }
      if (!std::exchange(told, true)) {
        LOG_WARN("alarms are not written to the disk; it is tried again", {"reason", status});
      }
      if (!Keep(std::move(change), status)) break;
    }
    MutexLock lock(mutex);
    ended = true;
    changed.NotifyAll();
  }
};

AlarmStore::AlarmStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<AlarmStore>> AlarmStore::Open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  if (path.empty()) return std::unique_ptr<AlarmStore>(new AlarmStore(std::move(impl)));
  bool no_room = false;
  if (const Status opened = impl->OpenFile(no_room); opened.ok()) {
    RETURN_IF_ERROR(impl->ReadFound());
  } else if (no_room) {
    impl->ReadWithoutRoom();
    LOG_WARN("the disk has no room for alarms; they are kept in memory, and it is tried again",
             {"reason", opened}, {"known_of_before", impl->unread ? "no" : "yes"});
    MutexLock lock(impl->mutex);
    impl->NoteTrouble(opened);
    impl->next.owed = impl->found.owed;  // so that it is tried although nothing new comes
  } else {
    return opened;
  }
  ASSIGN_OR_RETURN(impl->writer,
                   StartThread("alarm-store", [raw = impl.get()] { raw->WriteUntilStopped(); }));
  return std::unique_ptr<AlarmStore>(new AlarmStore(std::move(impl)));
}

AlarmStore::~AlarmStore() { StopWithin(0s); }

bool AlarmStore::StopWithin(std::chrono::milliseconds most) {
  if (impl_->path.empty()) return true;
  MutexLock lock(impl_->mutex);
  impl_->stop = true;
  impl_->changed.NotifyAll();
  const auto until = std::chrono::steady_clock::now() + most;
  while (!impl_->ended && std::chrono::steady_clock::now() < until)
    impl_->changed.WaitFor(impl_->mutex, until - std::chrono::steady_clock::now());
  return impl_->ended;
}

AlarmStore::Content AlarmStore::TakeFound() { return std::exchange(impl_->found, {}); }

void AlarmStore::Save(Content content) {
  if (impl_->path.empty()) return;
  MutexLock lock(impl_->mutex);
  impl_->next.book = Change::Book{std::move(content.alarms), std::move(content.silences)};
  impl_->next.owed = std::move(content.owed);
  impl_->changed.NotifyAll();
}

void AlarmStore::SaveOwed(std::vector<Owed> owed) {
  if (impl_->path.empty()) return;
  MutexLock lock(impl_->mutex);
  impl_->next.owed = std::move(owed);
  impl_->changed.NotifyAll();
}

bool AlarmStore::AwaitWritten(std::chrono::milliseconds most) {
  if (impl_->path.empty()) return false;
  MutexLock lock(impl_->mutex);
  auto pending = [&]() REQUIRES(impl_->mutex) { return !impl_->next.empty() || impl_->writing; };
  const auto until = std::chrono::steady_clock::now() + most;
  while (pending() && !impl_->failing && std::chrono::steady_clock::now() < until)
    impl_->changed.WaitFor(impl_->mutex, until - std::chrono::steady_clock::now());
  return !pending() && !impl_->failing;
}

std::optional<AlarmStore::Trouble> AlarmStore::trouble() const {
  MutexLock lock(impl_->mutex);
  return impl_->trouble;
}

uint64_t AlarmStore::errors() const {
  MutexLock lock(impl_->mutex);
  return impl_->errors;
}

}  // namespace leadsman
