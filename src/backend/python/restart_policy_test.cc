#include "backend/python/restart_policy.h"

#include <gtest/gtest.h>

#include <sstream>
#include <utility>

#include "base/strings.h"
#include "base/testing/script_file.h"
#include "support/test_paths.h"

namespace leadsman::python {
namespace {

using std::chrono::milliseconds;
using Start = RestartPolicy::Start;

/// One case of restarts.script: a place that is started in as the policy says.
class Case {
 public:
  std::string Run(const std::string& line) {
    std::istringstream words(line);
    std::string word;
    int64_t ms = 0;
    words >> word >> ms;
    const SteadyTime now{milliseconds(ms)};
    if (word == "look") return StrCat(line, ": ", Look(now), "\n");
    if (word == "replace")
      return StrCat(line, ": ", policy_.Replace(place_, now) ? "yes" : "no", "\n");
    if (word == "ready") return Ready(now), "";
    if (word == "end") return End(now), "";
    if (word == "end-successor" || word == "not-started") return Fail(now), "";
    ADD_FAILURE() << "no such word: " << word;
    return "";
  }

 private:
  std::string Look(SteadyTime now) {
    const RestartPolicy::Decision decision = policy_.Decide(place_, now);
    switch (decision.start) {
      case Start::kWorker:
        place_.worker = true;
        return "start a worker";
      case Start::kSuccessor:
        place_.successor = true;
        return "start a successor";
      case Start::kNothing:
        break;
    }
    if (!decision.ask_again) return "nothing";
    return StrCat("nothing before ", decision.ask_again->time_since_epoch() / milliseconds(1));
  }
  void Ready(SteadyTime now) {
    if (std::exchange(place_.successor, false)) policy_.SuccessorTookOver();
    place_.worker = true;
    ready_at_ = now;
  }
  void End(SteadyTime now) {
    place_.worker = false;
    std::optional<Duration> served;
    if (ready_at_) served = now - *ready_at_;
    ready_at_.reset();
    policy_.Ended(served, "ended", now);
  }
  void Fail(SteadyTime now) {
    if (!std::exchange(place_.successor, false)) place_.worker = false;
    policy_.Ended(std::nullopt, "could not start", now);
  }

  RestartPolicy policy_;
  RestartPolicy::Place place_;
  std::optional<SteadyTime> ready_at_;
};

TEST(RestartPolicyTest, AnswersAsTheScriptSays) {
  auto place = std::make_unique<Case>();
  std::string answer;
  const int cases = PlayScript(
      SourceDir() + "/src/backend/python/testdata/restarts.script",
      [&](const std::string& line) { answer += place->Run(line); },
      [&] {
        place = std::make_unique<Case>();
        return std::exchange(answer, "");
      });
  EXPECT_GE(cases, 9);
}

}  // namespace
}  // namespace leadsman::python
