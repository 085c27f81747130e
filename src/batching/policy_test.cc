#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <sstream>
#include <utility>

#include "base/strings.h"
#include "base/testing/script_file.h"
#include "batching/request_queue.h"
#include "batching/rows.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;

SteadyTime At(int64_t ms) { return SteadyTime(milliseconds(ms)); }
int64_t Ms(SteadyTime time) { return time.time_since_epoch() / milliseconds(1); }

struct ScriptTask final : BatchTask {
  std::string name;
  TensorView input;
  void OnDropped(DropReason) override {}
};

bool AllShare(const BatchTask&, const BatchTask&) { return true; }

/// One case of policy.script: settings, then events, each with its line of output.
class Case {
 public:
  std::string Run(const std::string& line) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "max_rows") return Number(words, policy_.max_rows), "";
    if (word == "levels") return Number(words, limits_.levels), "";
    if (word == "queue") return Number(words, limits_.max_requests), "";
    if (word == "level_sizes") return List(words, limits_.per_level), "";
    if (word == "preferred") return List(words, policy_.preferred), "";
    if (word == "max_delay") {
      int64_t ms = 0;
      Number(words, ms);
      policy_.max_delay = milliseconds(ms);
      return "";
    }
    if (word == "draining") return draining_ = true, "";
    if (word == "add") return Add(words);
    std::string argument;
    words >> argument;
    if (word == "cancel") {
      return StrCat(word, " ", argument,
                    queue().Remove(*tasks_.at(argument)) ? ": out\n" : ": too late\n");
    }
    int64_t now = ParseInt64(argument).value();
    if (word == "sweep") return Sweep(now);
    if (word == "ask") return Ask(now, false);
    if (word == "ask-all") return Ask(now, true);
    ADD_FAILURE() << "no such word: " << word;
    return "";
  }

 private:
  template <typename T>
  static void Number(std::istringstream& words, T& out) {
    words >> out;
  }
  template <typename T>
  static void List(std::istringstream& words, std::vector<T>& out) {
    std::string text;
    words >> text;
    for (std::string_view part : Split(text, ','))
      out.push_back(static_cast<T>(ParseInt64(part).value()));
  }
  RequestQueue& queue() {
    if (!queue_) queue_ = std::make_unique<RequestQueue>(limits_, AllShare);
    return *queue_;
  }
  std::string Add(std::istringstream& words) {
    auto task = std::make_unique<ScriptTask>();
    words >> task->name;
    std::string word;
    while (words >> word) {
      size_t equals = word.find('=');
      std::string key = word.substr(0, equals);
      int64_t value = 0;
      if (equals != std::string::npos && key != "shape")
        value = ParseInt64(word.substr(equals + 1)).value();
      if (key == "at") task->arrived = At(value);
      if (key == "rows") task->rows = static_cast<uint32_t>(value);
      if (key == "level") task->level = static_cast<uint32_t>(value);
      if (key == "deadline") task->deadline = At(value);
      if (key == "wait") task->wait_until = At(value);
      if (key == "batch_time") task->batch_time = milliseconds(value);
      if (key == "late") task->delay_when_late = true;
      if (key == "alone") task->may_join = false;
      if (key == "bytes") {
        task->padded = true;
        task->input.type = DataType::kUint8;
        task->input.shape = {0, value};
        task->inputs = {&task->input, 1};
      }
      if (key == "shape") task->key = std::hash<std::string>()(word);
    }
    if (task->padded) task->input.shape[0] = task->rows;
    std::string answer;
    if (queue().HasRoom(task->level)) {
      queue().Add(*task);
    } else {
      answer = StrCat("add ", task->name, ": full\n");
    }
    tasks_[task->name] = std::move(task);
    return answer;
  }
  std::string Sweep(int64_t now) {
    std::vector<BatchTask*> expired;
    queue().Sweep(At(now), expired);
    std::string text = StrCat("sweep ", now, ":");
    for (BatchTask* task : expired) text += StrCat(" ", Name(task), " expired");
    if (auto next = queue().NextExpiry()) text += StrCat(" next ", Ms(*next));
    return text + "\n";
  }
  std::string Ask(int64_t now, bool all) {
    std::string text;
    do {
      if (queue().empty()) return text + StrCat("ask ", now, ": nothing\n");
      std::vector<BatchTask*> batch;
      BatchDecision decision = queue().Ask(policy_, At(now), draining_, batch);
      if (!decision.close)
        return text + StrCat("ask ", now, ": wait until ", Ms(decision.wait_until), "\n");
      text += StrCat("ask ", now, ": run");
      for (BatchTask* task : batch) text += StrCat(" ", Name(task));
      text += StrCat(" (", CloseReasonName(decision.reason), ")\n");
    } while (all);
    return text;
  }
  static const std::string& Name(BatchTask* task) { return static_cast<ScriptTask*>(task)->name; }

  BatchPolicy policy_{.max_rows = 4};
  RequestQueue::Limits limits_{.max_requests = 1000, .levels = 4};
  bool draining_ = false;
  std::map<std::string, std::unique_ptr<ScriptTask>> tasks_;
  std::unique_ptr<RequestQueue> queue_;
};

TEST(BatchPolicyTest, AnswersAsTheScriptSays) {
  auto world = std::make_unique<Case>();
  std::string answer;
  const int cases = PlayScript(
      SourceDir() + "/src/batching/testdata/policy.script",
      [&](const std::string& line) { answer += world->Run(line); },
      [&] {
        world = std::make_unique<Case>();
        return std::exchange(answer, "");
      });
  EXPECT_GE(cases, 25);
}

}  // namespace
}  // namespace leadsman
