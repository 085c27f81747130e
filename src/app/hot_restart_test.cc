#include "app/hot_restart.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "app/switch_sink.h"
#include "base/mutex.h"
#include "base/testing/temp_dir.h"
#include "net/testing/free_port.h"
#include "support/eventually.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

/// A process that runs, of which only the sockets are real.
class RunningProcess final : public HotRestartHost::Owner {
 public:
  Status MayHandOver() override { return may; }
  net::ListenerStore& listeners() override { return store; }
  Result<HandedWeights> Release() override {
    ++releases;
    if (!can_release.ok()) return can_release;
    return weights;
  }
  void TakeBack(const Status& why, bool released) override {
    MutexLock lock(mutex);
    taken_back.emplace_back(std::string(why.message()), released);
    changed.NotifyAll();
  }
  void HandedOver(pid_t to) override {
    MutexLock lock(mutex);
    handed_to = to;
    changed.NotifyAll();
  }
  void OnIdle() override {}

  /// What was taken back last, when there were so many.
  std::pair<std::string, bool> AwaitTakenBack(size_t count) {
    const auto until = std::chrono::steady_clock::now() + 20s;
    MutexLock lock(mutex);
    while (taken_back.size() < count && std::chrono::steady_clock::now() < until)
      changed.WaitFor(mutex, 100ms);
    return taken_back.size() == count ? taken_back.back() : std::pair(std::string("none"), false);
  }
  pid_t AwaitHandedOver() {
    const auto until = std::chrono::steady_clock::now() + 20s;
    MutexLock lock(mutex);
    while (handed_to == 0 && std::chrono::steady_clock::now() < until)
      changed.WaitFor(mutex, 100ms);
    return handed_to;
  }

  Status may, can_release;
  HandedWeights weights;
  std::atomic<int> releases{0};
  net::ListenerStore store;
  Mutex mutex;
  CondVar changed;
  std::vector<std::pair<std::string, bool>> taken_back;
  pid_t handed_to = 0;
};

class HotRestartTest : public testing::Test {
 protected:
  void SetUp() override {
    auto group = owner_.store.Listen("127.0.0.1", net::FreePort(), 3);
    ASSERT_TRUE(group.ok()) << group.status();
    group_ = std::move(*group);
    name_ = {"127.0.0.1", group_.port};
  }
  void TearDown() override {
    host_.reset();
    for (const int socket : group_.sockets) close(socket);
  }
  void Start(std::chrono::milliseconds patience = 20s) {
    auto host = HotRestartHost::Start(
        {.path = path_, .program = "1.0", .generation = 4, .patience = patience}, owner_);
    ASSERT_TRUE(host.ok()) << host.status();
    host_ = std::move(*host);
  }
  std::unique_ptr<HotRestartGuest> Connect() {
    auto guest = HotRestartGuest::Connect(path_, "2.0");
    EXPECT_TRUE(guest.ok()) << guest.status();
    return guest.ok() ? std::move(*guest) : nullptr;
  }
  /// Says this, and what it hears of it.
  std::string Answer(const std::string& said) {
    auto channel = net::LocalChannel::Connect(path_, 5s);
    if (!channel.ok()) return "no connection";
    if (!said.empty()) (void)(*channel)->Send(said, {}, 5s);
    auto answer = (*channel)->Receive(20s);
    return answer.ok() ? answer->text : std::string(answer.status().message());
  }

  TempDir dir_;
  const std::string path_ = (dir_.path() / "hot-restart.sock").string();
  RunningProcess owner_;
  net::ListenerGroup group_;
  net::ListenerName name_;
  std::unique_ptr<HotRestartHost> host_;
};

TEST_F(HotRestartTest, EverythingGoesFromOneToTheOther) {
  owner_.weights["digits"] = {{{1, 0.25}, {2, 0.75}}, {{1, 1.0}}};
  Start();
  const auto guest = Connect();
  ASSERT_NE(guest, nullptr);
  EXPECT_EQ(guest->generation(), 4);
  EXPECT_EQ(guest->other(), getpid());
  net::ListenerStore mine;
  const net::ListenerName fresh{"127.0.0.1", 1};
  const Status taken = guest->TakeListeners({name_, fresh}, mine);
  ASSERT_TRUE(taken.ok()) << taken;
  EXPECT_TRUE(group_.IsHandedOver());
  auto here = mine.Listen(name_.address, name_.port, 1);
  ASSERT_TRUE(here.ok()) << here.status();
  EXPECT_EQ(here->sockets.size(), 3u);
  for (const int socket : here->sockets) close(socket);
  EXPECT_EQ(owner_.releases, 0);
  auto weights = guest->Release(20s);
  ASSERT_TRUE(weights.ok()) << weights.status();
  ASSERT_EQ(weights->size(), 1u);
  EXPECT_EQ((*weights)["digits"].set, owner_.weights["digits"].set);
  EXPECT_EQ((*weights)["digits"].configured, owner_.weights["digits"].configured);
  ASSERT_TRUE(guest->Ready().ok());
  guest->Accepting();
  EXPECT_EQ(access(path_.c_str(), F_OK), -1) << "the path is free for the next one";
  EXPECT_EQ(owner_.AwaitHandedOver(), getpid());
  EXPECT_TRUE(owner_.taken_back.empty());
}

TEST_F(HotRestartTest, MoreSocketsThanAMessageHoldsComeInSeveral) {
  auto large = owner_.store.Listen("127.0.0.1", net::FreePort(), 300);
  ASSERT_TRUE(large.ok()) << large.status();
  for (const int socket : large->sockets) close(socket);
  Start();
  const auto guest = Connect();
  ASSERT_NE(guest, nullptr);
  net::ListenerStore mine;
  const net::ListenerName name{"127.0.0.1", large->port};
  const Status taken = guest->TakeListeners({name, name_}, mine);
  ASSERT_TRUE(taken.ok()) << taken;
  auto copies = mine.Copy(name);
  ASSERT_TRUE(copies.ok()) << copies.status();
  EXPECT_EQ(copies->size(), 300u);
  for (const int socket : *copies) close(socket);
}

TEST_F(HotRestartTest, NobodyThereIsAStartAsAny) {
  auto guest = HotRestartGuest::Connect(path_, "2.0");
  ASSERT_TRUE(guest.ok()) << guest.status();
  EXPECT_EQ(*guest, nullptr);
}

TEST_F(HotRestartTest, WhateverTheOtherOneDiesOfThisOneGoesOn) {
  Start();
  size_t times = 0;
  { const auto guest = Connect(); }
  EXPECT_FALSE(owner_.AwaitTakenBack(++times).second);
  EXPECT_FALSE(group_.IsHandedOver());
  {
    const auto guest = Connect();
    net::ListenerStore mine;
    ASSERT_TRUE(guest->TakeListeners({name_}, mine).ok());
    EXPECT_TRUE(group_.IsHandedOver());
  }
  EXPECT_FALSE(owner_.AwaitTakenBack(++times).second);
  EXPECT_FALSE(group_.IsHandedOver());
  for (const bool ready : {false, true}) {
    {
      const auto guest = Connect();
      net::ListenerStore mine;
      ASSERT_TRUE(guest->TakeListeners({name_}, mine).ok());
      ASSERT_TRUE(guest->Release(20s).ok());
      if (ready) {
        ASSERT_TRUE(guest->Ready().ok());
      }
    }
    EXPECT_TRUE(owner_.AwaitTakenBack(++times).second) << ready;
    EXPECT_FALSE(group_.IsHandedOver());
  }
  // And a further one gets all of it.
  const auto guest = Connect();
  net::ListenerStore mine;
  ASSERT_TRUE(guest->TakeListeners({name_}, mine).ok());
  ASSERT_TRUE(guest->Release(20s).ok());
  ASSERT_TRUE(guest->Ready().ok());
  guest->Accepting();
  EXPECT_EQ(owner_.AwaitHandedOver(), getpid());
}

TEST_F(HotRestartTest, OneThatHangsIsNotWaitedForForEver) {
  Start(50ms);
  const auto guest = Connect();
  net::ListenerStore mine;
  (void)guest->TakeListeners({name_}, mine);  // in time, or not even that
  auto [why, released] = owner_.AwaitTakenBack(1);
  EXPECT_FALSE(released);
  EXPECT_NE(why.find("it has not said"), std::string::npos) << why;
  // Too late.
  const Status late = guest->Release(20s).status();
  EXPECT_FALSE(late.ok());
  EXPECT_FALSE(guest->Ready().ok());
  EXPECT_EQ(owner_.releases, 0);
}

TEST_F(HotRestartTest, TheSecondOfTwoIsRefused) {
  Start();
  const auto first = Connect();
  ASSERT_NE(first, nullptr);
  auto second = HotRestartGuest::Connect(path_, "2.0");
  EXPECT_EQ(second.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(second.status().message().find("is taking over"), std::string::npos) << second.status();
  net::ListenerStore mine;
  EXPECT_TRUE(first->TakeListeners({name_}, mine).ok()) << "the first is not disturbed";
}

TEST_F(HotRestartTest, AnotherProtocolIsRefusedWithBothNumbers) {
  Start();
  const std::string answer =
      Answer(R"({"say": "hello", "protocol": 977, "program": "9.9", "more": [1]})");
  EXPECT_NE(answer.find("\"refused\""), std::string::npos) << answer;
  EXPECT_NE(answer.find("by protocol 1,"), std::string::npos) << answer;
  EXPECT_NE(answer.find("protocol 977"), std::string::npos) << answer;
  EXPECT_NE(answer.find("9.9"), std::string::npos) << answer;
  EXPECT_NE(Connect(), nullptr) << "this one goes on";
}

TEST_F(HotRestartTest, GarbageEndsAConversationAndNothingElse) {
  Start();
  for (const char* said :
       {"nonsense", "[]", "{\"say\": 1}", "{\"say\": \"ready\"}", "{\"say\": \"hello\"}",
        "{\"say\": \"hello\", \"protocol\": \"1\"}", "{\"say\": \"hello\", \"protocol\": 1e300}",
        "\xff\xfe\xfd", "{\"say\": \"hello\", \"protocol\": -1, \"program\": {}}"}) {
    const std::string answer = Answer(said);
    EXPECT_NE(answer.find("\"refused\""), std::string::npos) << said << ": " << answer;
  }
  for (const char* wanted : {"7", "[7]", "[{\"address\": \"127.0.0.1\", \"port\": 70000}]",
                             "[{\"port\": 1}]", "[{\"address\": 1, \"port\": 1}]", "[[]]"}) {
    auto channel = net::LocalChannel::Connect(path_, 5s);
    ASSERT_TRUE(channel.ok()) << channel.status();
    ASSERT_TRUE((*channel)->Send(R"({"say": "hello", "protocol": 1})", {}, 5s).ok());
    ASSERT_TRUE((*channel)->Receive(20s).ok());
    ASSERT_TRUE((*channel)
                    ->Send(std::string(R"({"say": "listeners", "wanted": )") + wanted + "}", {}, 5s)
                    .ok());
    auto answer = (*channel)->Receive(20s);
    ASSERT_TRUE(answer.ok()) << wanted << answer.status();
    const bool nothing = std::string(wanted) == "7";
    EXPECT_EQ(answer->text.find("refused") == std::string::npos, nothing) << answer->text;
  }
  EXPECT_NE(Connect(), nullptr);
}

TEST_F(HotRestartTest, AProcessThatIsStoppingRefuses) {
  owner_.may = FailedPreconditionError("it is stopping");
  Start();
  auto guest = HotRestartGuest::Connect(path_, "2.0");
  EXPECT_EQ(guest.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(guest.status().message(), "it is stopping");
}

TEST_F(HotRestartTest, WhatCannotBeReleasedIsSaid) {
  owner_.can_release = DeadlineExceededError("the disk hangs");
  Start();
  const auto guest = Connect();
  net::ListenerStore mine;
  ASSERT_TRUE(guest->TakeListeners({name_}, mine).ok());
  const Status refused = guest->Release(20s).status();
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition) << refused;
  EXPECT_EQ(refused.message(), "the disk hangs");
  EXPECT_TRUE(owner_.AwaitTakenBack(1).second);
}

TEST_F(HotRestartTest, AHostThatEndsEndsAConversation) {
  Start();
  const auto guest = Connect();
  net::ListenerStore mine;
  ASSERT_TRUE(guest->TakeListeners({name_}, mine).ok());
  host_.reset();
  const Status over = guest->Release(20s).status();
  EXPECT_FALSE(over.ok());
  EXPECT_EQ(access(path_.c_str(), F_OK), -1);
}

TEST_F(HotRestartTest, AStopTakesBackWhatWasOnlyLent) {
  Start();
  const auto guest = Connect();
  net::ListenerStore mine;
  ASSERT_TRUE(guest->TakeListeners({name_}, mine).ok());
  EXPECT_TRUE(group_.IsHandedOver());
  EXPECT_TRUE(host_->EndUnlessReleased());
  EXPECT_FALSE(group_.IsHandedOver()) << "before it returns";
  const Status over = guest->Release(20s).status();
  EXPECT_EQ(over.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(over.message(), "this process is stopping");
  EXPECT_EQ(owner_.releases, 0);
}

TEST_F(HotRestartTest, AStopLeavesAloneWhoHasEverything) {
  Start();
  const auto guest = Connect();
  net::ListenerStore mine;
  ASSERT_TRUE(guest->TakeListeners({name_}, mine).ok());
  ASSERT_TRUE(guest->Release(20s).ok());
  EXPECT_FALSE(host_->EndUnlessReleased());
  EXPECT_TRUE(group_.IsHandedOver());
  std::thread stop([&] { host_.reset(); });
  EXPECT_TRUE(guest->Ready().ok());
  guest->Accepting();
  stop.join();
  EXPECT_EQ(owner_.AwaitHandedOver(), getpid());
  EXPECT_TRUE(group_.IsHandedOver());
}

TEST_F(HotRestartTest, WhereNobodyCanListenYetItIsTriedAgain) {
  auto other = net::LocalListener::Listen(path_);
  ASSERT_TRUE(other.ok()) << other.status();
  auto host = HotRestartHost::StartForLater({.path = path_, .program = "1.0"}, owner_);
  ASSERT_TRUE(host.ok()) << host.status();
  (*host)->ListenNow();
  // It has been tried once when somebody has connected.
  std::unique_ptr<net::LocalChannel> tried;
  EXPECT_TRUE(Eventually([&] { return (tried = (*other)->Accept()) != nullptr; }));
  other->reset();
  std::unique_ptr<HotRestartGuest> guest;
  EXPECT_TRUE(Eventually([&] { return (guest = Connect()) != nullptr; }));
}

/// Somebody listens there who is no leadsman, or one that hangs.
TEST_F(HotRestartTest, WhoTakesOverBelievesNotEverything) {
  auto listener = net::LocalListener::Listen(path_);
  ASSERT_TRUE(listener.ok()) << listener.status();
  auto against = [&](const std::string& answer) {
    std::unique_ptr<net::LocalChannel> channel;
    std::thread other([&] {
      while (channel == nullptr) channel = (*listener)->Accept();
      (void)channel->Send(answer, {}, 5s);
    });
    auto guest = HotRestartGuest::Connect(path_, "2.0");
    other.join();
    return guest.status();
  };
  EXPECT_EQ(against("nonsense").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(against(R"({"say": "sent"})").code(), StatusCode::kInvalidArgument);
  const Status newer = against(R"({"say": "welcome", "protocol": 2, "program": "7.7"})");
  EXPECT_EQ(newer.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(newer.message().find("by protocol 2, this one (leadsman 2.0) takes over by protocol 1"),
            std::string::npos)
      << newer;
  EXPECT_EQ(against(R"({"say": "refused", "reason": "because"})").message(), "because");
}

TEST(SwitchSinkTest, EventsGoToWhoIsThereAndAreCountedOtherwise) {
  std::map<std::string, std::vector<SegmentRule>, std::less<>> segments;
  segments["digits"].emplace_back().name = "tenant";
  SwitchSink sink(std::move(segments));
  sink.Emit(PredictionEvent());
  EXPECT_FALSE(sink.TryEmit(PredictionEvent()));
  EXPECT_EQ(sink.dropped(), 1u);
  EXPECT_EQ(sink.FeatureStride(10), 0u);
  EXPECT_EQ(sink.NamesOf("digits"), nullptr);
  ASSERT_EQ(sink.SegmentsOf("digits").size(), 1u);
  EXPECT_TRUE(sink.SegmentsOf("others").empty());
  NullSink target;
  const uint64_t before = sink.names_epoch();
  sink.Set(&target);
  EXPECT_NE(sink.names_epoch(), before);
  sink.Emit(PredictionEvent());
  EXPECT_TRUE(sink.TryEmit(PredictionEvent()));
  EXPECT_EQ(sink.dropped(), 1u);
  sink.Set(nullptr);
  EXPECT_FALSE(sink.TryEmit(PredictionEvent())) << "somebody may come";
  sink.End();
  EXPECT_TRUE(sink.TryEmit(PredictionEvent()));
  EXPECT_EQ(sink.dropped(), 2u);
}

/// A sink that says when it is used after it has gone.
class GoingSink final : public Sink {
 public:
  ~GoingSink() override { there_ = false; }
  void Emit(const PredictionEvent&) override {
    EXPECT_TRUE(there_);
    ++events;
  }
  bool TryEmit(const PredictionEvent& event) override {
    Emit(event);
    return true;
  }
  uint32_t FeatureStride(size_t) const override { return there_ ? 1 : 99; }
  std::atomic<uint64_t> events{0};

 private:
  std::atomic<bool> there_{true};
};

TEST(SwitchSinkTest, NobodyUsesATargetThatWasReplacedAndNoEventIsUncounted) {
  SwitchSink sink({});
  constexpr uint64_t kEach = 20'000;
  std::atomic<int> running{4};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (uint64_t n = 0; n < kEach; ++n) sink.Emit(PredictionEvent());
      --running;
    });
  }
  uint64_t arrived = 0;
  while (running > 0) {
    auto target = std::make_unique<GoingSink>();
    sink.Set(target.get());
    std::this_thread::yield();
    sink.Set(nullptr);
    arrived += target->events;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arrived + sink.dropped(), 4 * kEach);
}

}  // namespace
}  // namespace leadsman
