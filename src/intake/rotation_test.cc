// The follower against writers and rotation in any order, real logrotate, and real kills.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/rng.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "intake/log_follower.h"
#include "intake/testing/rotated_files.h"

namespace leadsman {
namespace {

namespace fs = std::filesystem;

/// A consumer that stores the positions together with what it counted: a crash takes it back to both.
class Consumer {
 public:
  Consumer(FakeClock& clock, FollowerOptions options)
      : clock_(clock), options_(std::move(options)) {}

  void Start() {
    lines_ = committed_lines_;
    follower_ = std::make_unique<LogFollower>(LogFollower::Deps{clock_}, options_, committed_,
                                              [this](const LineBatch& batch) {
                                                for (const LogLine& line : batch.lines)
                                                  lines_.emplace_back(line.text);
                                                last_ = batch.ticket;
                                              });
  }
  void Commit() {
    if (!follower_) return;
    follower_->Accept(last_);
    committed_ = follower_->Accepted();
    // Through text, as a database would have it.
    committed_ = ParsePositions(SerializePositions(*committed_)).value();
    committed_lines_ = lines_;
  }
  void Crash() {
    follower_.reset();
    last_ = 0;
  }
  void Look() {
    if (!follower_) Start();
    (void)follower_->Poll();
    clock_.Advance(std::chrono::seconds(1));
  }
  void ReadAll() {
    if (!follower_) Start();
    for (int i = 0; i < 40; ++i) {
      while (follower_->Poll().more) Commit();
      Commit();
      clock_.Advance(std::chrono::seconds(1));
    }
  }
  const std::vector<std::string>& lines() const { return lines_; }
  const LogFollower& follower() const { return *follower_; }

 private:
  FakeClock& clock_;
  FollowerOptions options_;
  std::unique_ptr<LogFollower> follower_;
  std::optional<Positions> committed_;
  std::vector<std::string> lines_, committed_lines_;
  uint64_t last_ = 0;
};

/// A program that logs, and the tool that rotates its log.
class Writer {
 public:
  Writer(std::string log, Rng& rng) : log_(std::move(log)), rng_(rng) { Reopen(); }

  void Reopen() {
    if (piece_) WriteLines(1);
    file_ = std::ofstream(log_, std::ios::app | std::ios::binary);
    at_home_ = true;
  }
  void WriteLines(uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      if (!piece_) BeginLine();
      file_ << '\n';
      piece_ = false;
    }
    file_.flush();
  }
  void WritePiece() {
    if (!piece_) BeginLine();
    piece_ = true;
    file_.flush();
  }
  void Rename() {
    if (!at_home_) Reopen();
    Shift();
    fs::rename(log_, log_ + ".1");
    at_home_ = false;
    if (rng_.Below(2) == 0) Reopen();
  }
  void CopyTruncateLog() {
    if (!at_home_) Reopen();
    if (piece_) WriteLines(1);  // a piece would be torn by the tool itself
    if (fs::file_size(log_) == 0) return;
    Shift();
    CopyTruncate(log_, log_ + ".1");
  }
  void CompressOne() {
    if (!at_home_) Reopen();
    const std::string path = StrCat(log_, '.', 1 + rng_.Below(3));
    if (fs::exists(path)) Compress(path);
  }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  void BeginLine() {
    lines_.push_back(StrCat(lines_.size(), ' ', std::string(rng_.Below(80), 'x')));
    file_ << lines_.back();
  }
  void Shift() {
    for (int i = 30; i > 0; --i) {
      for (const char* ending : {"", ".gz"}) {
        const std::string from = StrCat(log_, '.', i, ending);
        if (fs::exists(from)) fs::rename(from, StrCat(log_, '.', i + 1, ending));
      }
    }
  }
  const std::string log_;
  Rng& rng_;
  std::ofstream file_;
  bool piece_ = false, at_home_ = true;
  std::vector<std::string> lines_;
};

void PlayRound(uint64_t seed) {
  Rng rng(seed);
  TempDir dir;
  FakeClock clock;
  FollowerOptions options;
  options.from = FollowerOptions::From::kBeginning;
  options.globs = {dir.file(seed % 2 == 0 ? "app.log" : "app.log*")};
  options.read_bytes = 64 + rng.Below(2000);
  options.max_poll_bytes = 500 + rng.Below(3000);
  options.max_lead_bytes = 500 + rng.Below(5000);
  options.max_batch_lines = 1 + rng.Below(20);
  options.grace = std::chrono::seconds(60);
  Writer writer(dir.file("app.log"), rng);
  Consumer consumer(clock, options);
  consumer.Look();
  consumer.Commit();
  std::string story;
  int rotations = 0;
  for (int i = 0; i < 60; ++i) {
    const uint64_t what = rng.Below(100);
    if (what < 30) {
      writer.WriteLines(1 + rng.Below(30));
      story += 'w';
    } else if (what < 35) {
      writer.WritePiece();
      story += 'p';
    } else if (what < 43 && rotations < 12) {
      writer.Rename();
      story += 'R';
      ++rotations;
    } else if (what < 50 && rotations < 12) {
      writer.CopyTruncateLog();
      story += 'T';
      ++rotations;
    } else if (what < 55) {
      writer.CompressOne();
      story += 'Z';
    } else if (what < 60) {
      writer.Reopen();
      story += 'o';
    } else if (what < 65) {
      consumer.Crash();
      story += '!';
    } else if (what < 80) {
      consumer.Commit();
      story += 'c';
    } else {
      consumer.Look();
      story += 'l';
    }
  }
  writer.Reopen();
  consumer.ReadAll();
  for (int i = 0; i < 3; ++i) consumer.ReadAll();
  std::vector<std::string> got = consumer.lines(), expected = writer.lines();
  std::sort(got.begin(), got.end());
  std::sort(expected.begin(), expected.end());
  if (got == expected) return;
  std::vector<std::string> lost, twice;
  std::set_difference(expected.begin(), expected.end(), got.begin(), got.end(),
                      std::back_inserter(lost));
  std::set_difference(got.begin(), got.end(), expected.begin(), expected.end(),
                      std::back_inserter(twice));
  ADD_FAILURE() << "seed " << seed << " " << story << ": lost " << lost.size() << " ("
                << (lost.empty() ? "" : lost[0]) << "), too many " << twice.size() << " ("
                << (twice.empty() ? "" : twice[0]) << ") of " << expected.size();
}

TEST(RotationTest, EveryLineCountsOnceInAnyOrderOfEvents) {
#ifdef LEADSMAN_THREAD_SANITIZED
  constexpr uint64_t kStories = 40;  // each takes twenty times as long, and there is one thread
#else
  constexpr uint64_t kStories = 300;
#endif
  for (uint64_t seed = 0; seed < kStories && !testing::Test::HasFailure(); ++seed) PlayRound(seed);
}

// ---- kill -9 ------------------------------------------------------------------------------------

struct Ledger {
  uint64_t lines = 0, sum = 0;
  std::optional<Positions> positions;
};
Ledger ReadLedger(const std::string& path) {
  Ledger ledger;
  auto text = ReadFile(path, 1 << 20);
  if (!text.ok()) return ledger;
  std::istringstream in(*text);
  in >> ledger.lines >> ledger.sum;
  in.get();
  auto positions = ParsePositions(std::string(std::istreambuf_iterator<char>(in), {}));
  if (positions.ok()) ledger.positions = *positions;
  return ledger;
}

/// One life of a program that counts lines and their numbers, killed after so many reads.
void CountLinesUntilKilled(const std::string& log, const std::string& path, uint64_t reads) {
  Ledger ledger = ReadLedger(path);
  FakeClock clock;
  FollowerOptions options;
  options.globs = {log};
  options.from = FollowerOptions::From::kBeginning;
  options.read_bytes = 100;
  options.max_poll_bytes = 1;
  uint64_t last = 0, seen = 0, saved = 0;
  LogFollower follower({clock}, options, ledger.positions, [&](const LineBatch& batch) {
    if (++seen > reads) kill(getpid(), SIGKILL);
    for (const LogLine& line : batch.lines) {
      ++ledger.lines;
      ledger.sum += static_cast<uint64_t>(ParseInt64(line.text).value_or(-1));
    }
    last = batch.ticket;
  });
  for (int i = 0; i < 300; ++i) {
    (void)follower.Poll();
    clock.Advance(std::chrono::milliseconds(100));
    if (i % 3 != 0 || saved == last) continue;
    saved = last;
    follower.Accept(last);
    (void)WriteFileAtomically(
        path, StrCat(ledger.lines, ' ', ledger.sum, '\n', SerializePositions(follower.Accepted())));
  }
}

TEST(RotationTest, AProgramThatIsKilledCountsEveryLineOnce) {
  TempDir dir;
  const std::string log = dir.file("app.log"), ledger = dir.file("ledger");
  Rng rng(11);
  uint64_t written = 0, sum = 0;
  int killed = 0;
  for (int life = 0; life < 40; ++life) {
    std::string text;
    for (uint64_t i = rng.Below(500); i > 0; --i, sum += written, ++written)
      text += StrCat(written, '\n');
    Append(log, text);
    if (life % 4 == 3) {
      // The oldest goes first.
      for (int i = 12; i > 0; --i) {
        const std::string from = StrCat(log, '.', i);
        if (fs::exists(from)) fs::rename(from, StrCat(log, '.', i + 1));
      }
      if (life % 8 == 3) {
        fs::rename(log, log + ".1");
        Append(log, "");
      } else {
        CopyTruncate(log, log + ".1");
      }
    }
    const bool final_life = life == 39;
    const uint64_t reads = final_life ? ~0ull : rng.Below(25);
    const pid_t child = fork();
    if (child == 0) {
      CountLinesUntilKilled(log, ledger, reads);
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  const Ledger result = ReadLedger(ledger);
  EXPECT_EQ(result.lines, written);
  EXPECT_EQ(result.sum, sum);
  EXPECT_GT(killed, 10);
}

// ---- logrotate ----------------------------------------------------------------------------------

class LogrotateTest : public testing::TestWithParam<std::string> {};

TEST_P(LogrotateTest, LosesAndRepeatsNothing) {
  const char* program = "/usr/sbin/logrotate";
  if (access(program, X_OK) != 0) GTEST_SKIP() << program << " is not installed";
  for (const char* glob : {"app.log", "app.log*"}) {
    TempDir dir;
    const std::string log = dir.file("app.log");
    std::ofstream(dir.file("rotate.conf")) << log << " {\n  rotate 50\n  size 1\n  missingok\n"
                                           << GetParam() << "}\n";
    FakeClock clock;
    FollowerOptions options;
    options.globs = {dir.file(glob)};
    options.from = FollowerOptions::From::kBeginning;
    Consumer consumer(clock, options);
    std::vector<std::string> written;
    auto write = [&](int n) {
      std::string text;
      for (int i = 0; i < n; ++i) {
        written.push_back(StrCat(written.size(), " GET /predict 200"));
        text += written.back() + "\n";
      }
      Append(log, text);
    };
    const std::string command =
        StrCat(program, " -f -s ", dir.file("state"), ' ', dir.file("rotate.conf"));
    for (int i = 0; i < 12; ++i) {
      write(100);
      if (i % 3 != 2) consumer.Look();
      if (i % 4 == 1) consumer.Commit();
      write(10);
      ASSERT_EQ(std::system(command.c_str()), 0);
      write(10);
      if (i % 3 == 1) consumer.Look();
      if (i == 5 || i == 8) consumer.Crash();
    }
    consumer.ReadAll();
    std::vector<std::string> got = consumer.lines();
    std::sort(got.begin(), got.end());
    std::sort(written.begin(), written.end());
    EXPECT_EQ(got.size(), written.size()) << glob;
    EXPECT_EQ(got, written) << glob;
    EXPECT_EQ(consumer.follower().counters().errors, 0u);
  }
}

std::string Name(const testing::TestParamInfo<std::string>& info) {
  std::string name;
  for (char c : info.param) {
    if (std::isalnum(static_cast<unsigned char>(c))) name += c;
  }
  return name;
}
INSTANTIATE_TEST_SUITE_P(Real, LogrotateTest,
                         testing::Values("  create\n", "  nocreate\n", "  create\n  compress\n",
                                         "  create\n  compress\n  delaycompress\n",
                                         "  copytruncate\n", "  copytruncate\n  compress\n",
                                         "  create\n  compress\n  extension .log\n",
                                         "  copytruncate\n  extension .log\n"),
                         Name);

}  // namespace
}  // namespace leadsman
