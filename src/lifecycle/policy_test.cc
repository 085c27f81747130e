#include "lifecycle/policy.h"

#include <gtest/gtest.h>

#include <iterator>
#include <sstream>
#include <utility>

#include "base/strings.h"
#include "base/testing/script_file.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

std::vector<int64_t> Numbers(std::string_view list) {
  std::vector<int64_t> numbers;
  for (std::string_view part : Split(list, ',')) numbers.push_back(ParseInt64(part).value());
  return numbers;
}

VersionState StateOf(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(VersionState::kFailed); ++i) {
    if (VersionStateName(static_cast<VersionState>(i)) == name) return static_cast<VersionState>(i);
  }
  ADD_FAILURE() << "no such state: " << name;
  return VersionState::kNew;
}

void ReadLine(const std::string& line, ModelView& model) {
  std::istringstream words(line);
  std::string word, argument;
  words >> word;
  if (word == "policy") {
    words >> argument;
    if (argument == "latest") {
      model.policy.kind = VersionPolicy::Kind::kLatest;
      words >> model.policy.latest;
    } else if (argument == "all") {
      model.policy.kind = VersionPolicy::Kind::kAll;
    } else {
      model.policy.kind = VersionPolicy::Kind::kSpecific;
      words >> argument;
      model.policy.specific = Numbers(argument);
    }
  } else if (word == "swap") {
    words >> argument;
    if (argument == "resource") model.swap = SwapPolicy::kResourcePreserving;
  } else if (word == "keep" || word == "exclude") {
    words >> argument;
    auto& pins = word == "keep" ? model.pins.keep : model.pins.exclude;
    for (int64_t version : Numbers(argument)) pins.insert(version);
  } else if (word == "removed") {
    model.removed = true;
  } else {
    VersionView view{.version = ParseInt64(word).value(), .available = true};
    words >> argument;
    view.state = StateOf(argument);
    while (words >> argument) {
      if (argument == "missing") view.available = false;
      if (argument == "moved") view.moved_away = true;
      if (argument == "failed") view.failed_before = true;
      if (argument == "for-good") view.failed_for_good = true;
      if (argument == "due") view.retry_due = true;
    }
    model.versions.push_back(view);
  }
}

std::string Answer(const ModelView& model) {
  std::vector<std::string> wanted;
  for (int64_t version : WantedVersions(model)) wanted.push_back(std::to_string(version));
  std::string text = StrCat("wanted ", wanted.empty() ? "-" : Join(wanted, ","), "\n");
  Action action = NextAction(model);
  if (action.kind == Action::Kind::kNothing) return text + "nothing\n";
  return StrCat(text, action.kind == Action::Kind::kLoad ? "load " : "unload ", action.version,
                "\n");
}

TEST(PolicyTest, AnswersAsTheScriptSays) {
  ModelView model;
  const int cases = PlayScript(
      SourceDir() + "/src/lifecycle/testdata/policy.script",
      [&](const std::string& line) { ReadLine(line, model); },
      [&] { return Answer(std::exchange(model, {})); });
  EXPECT_GT(cases, 30);
}

// Whatever the pins and the policy, carrying the actions out ends, and ends with every wanted
// version ready.
TEST(PolicyTest, ComesToRestFromEveryCombinationOfStates) {
  const VersionState states[] = {VersionState::kNew, VersionState::kReady, VersionState::kDraining,
                                 VersionState::kFailed, VersionState::kGone};
  for (int combination = 0; combination < 5 * 5 * 5 * 2 * 8 * 8; ++combination) {
    int rest = combination;
    ModelView model;
    for (int64_t version = 1; version <= 3; ++version, rest /= 5) {
      VersionView view{.version = version, .state = states[rest % 5], .available = true};
      view.failed_before = view.failed_for_good = view.state == VersionState::kFailed;
      model.versions.push_back(view);
    }
    if (rest % 2 != 0) model.swap = SwapPolicy::kResourcePreserving;
    rest /= 2;
    for (int64_t version = 1; version <= 3; ++version) {
      if ((rest >> (version - 1)) % 2 != 0) model.pins.keep.insert(version);
      if ((rest >> (version + 2)) % 2 != 0) model.pins.exclude.insert(version);
    }
    int steps = 0;
    while (true) {
      ASSERT_LT(++steps, 20) << "combination " << combination;
      bool moved = false;
      Action action = NextAction(model);
      for (VersionView& view : model.versions) {
        if (action.kind != Action::Kind::kNothing && view.version == action.version) {
          view.state =
              action.kind == Action::Kind::kLoad ? VersionState::kReady : VersionState::kDraining;
          moved = true;
        } else if (action.kind == Action::Kind::kNothing && view.state == VersionState::kDraining) {
          view.state = VersionState::kGone;
          moved = true;
        }
      }
      if (!moved) break;
    }
    std::set<int64_t> wanted = WantedVersions(model);
    for (const VersionView& view : model.versions) {
      bool should = wanted.contains(view.version) && !view.failed_for_good;
      EXPECT_TRUE(!should || view.state == VersionState::kReady) << "combination " << combination;
    }
  }
}

}  // namespace
}  // namespace leadsman
