#include "app/reloader.h"

#include <gtest/gtest.h>

#include "base/testing/fake_clock.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

TEST(ReloaderTest, KeepsWhatCameOfTheLastOne) {
  FakeClock clock;
  Registry registry;
  Result<Config> loaded = Config();
  int applied = 0;
  Reloader reloader(
      clock, registry, [&] { return loaded; },
      [&](Config, std::vector<std::string>& needs_restart) {
        ++applied;
        needs_restart.push_back("server");
        return OkStatus();
      });
  EXPECT_TRUE(reloader.state().last_ok);
  const WallTime start = reloader.state().last_success;

  clock.Advance(1s);
  loaded = InvalidArgumentError("leadsman.yaml:1:1: x: unknown key");
  EXPECT_FALSE(reloader.Reload("file").ok());
  EXPECT_EQ(applied, 0);
  Reloader::State state = reloader.state();
  EXPECT_FALSE(state.last_ok);
  EXPECT_EQ(state.failed, 1u);
  EXPECT_EQ(state.last_success, start);
  EXPECT_EQ(state.last_trigger, "file");
  EXPECT_NE(state.error.find("unknown key"), std::string::npos);

  loaded = Config();
  EXPECT_TRUE(reloader.Reload("api").ok());
  state = reloader.state();
  EXPECT_TRUE(state.last_ok);
  EXPECT_EQ(state.succeeded, 1u);
  EXPECT_EQ(state.last_success, start + 1s);
  EXPECT_EQ(state.needs_restart, std::vector<std::string>{"server"});
  EXPECT_EQ(state.error, "");

  // What a client sends: its mistakes are its own.
  EXPECT_FALSE(reloader.Take([] { return Result<Config>(InvalidArgumentError("no")); }).ok());
  state = reloader.state();
  EXPECT_TRUE(state.last_ok);
  EXPECT_EQ(state.last_trigger, "api");
  EXPECT_EQ(state.failed, 2u);
  EXPECT_TRUE(reloader.Take([] { return Result<Config>(Config()); }).ok());
  state = reloader.state();
  EXPECT_EQ(state.last_trigger, "client");
  EXPECT_EQ(state.succeeded, 2u);
  EXPECT_EQ(applied, 2);
}

}  // namespace
}  // namespace leadsman
