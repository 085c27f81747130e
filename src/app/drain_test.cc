#include "app/drain.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <sstream>
#include <utility>

#include "base/strings.h"
#include "base/testing/script_file.h"
#include "support/test_paths.h"

namespace leadsman {
namespace {

using std::chrono::milliseconds;

struct World {
  DrainMachine::Options options;
  std::unique_ptr<DrainMachine> machine;

  std::string Run(const std::string& line) {
    std::istringstream words(line);
    std::string word;
    int64_t number = 0;
    words >> word >> number;
    if (word == "delay") return options.delay = milliseconds(number), "";
    if (word == "timeout") return options.timeout = milliseconds(number), "";
    if (!machine) machine = std::make_unique<DrainMachine>(options);
    const SteadyTime now{milliseconds(number)};
    DrainMachine::Effects effects;
    if (word == "signal") {
      std::string name;
      words >> name;
      effects = machine->OnSignal(name == "INT" ? SIGINT : SIGTERM, now);
    } else if (word == "handed") {
      effects = machine->OnHandedOver();
    } else if (word == "tick") {
      effects = machine->OnTick(now);
    } else {
      effects = machine->OnDrained();
    }
    std::string text = StrCat(line, ":");
    if (effects.readiness_off) text += " readiness off,";
    if (effects.begin_drain) text += StrCat(" drain within ", effects.begin_drain->count(), " ms,");
    if (effects.finish) text += " finish,";
    text += StrCat(" ", DrainPhaseName(machine->phase()));
    if (auto next = machine->NextTick())
      text += StrCat(" until ", next->time_since_epoch() / milliseconds(1));
    return text + "\n";
  }
};

TEST(DrainTest, GoesAsTheScriptSays) {
  World world;
  std::string answer;
  const int cases = PlayScript(
      SourceDir() + "/src/app/testdata/drain.script",
      [&](const std::string& line) { answer += world.Run(line); },
      [&] {
        world = {};
        return std::exchange(answer, "");
      });
  EXPECT_EQ(cases, 8);
}

}  // namespace
}  // namespace leadsman
