#include "net/event_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "net/stream_socket.h"

namespace leadsman::net {
namespace {

using namespace std::chrono_literals;
using Got = StreamSocket::Got;

struct Pair {
  Pair() {
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    near = std::make_unique<StreamSocket>(sockets[0], pool);
    far = std::make_unique<StreamSocket>(sockets[1], pool);
  }
  BufferPool pool;
  std::unique_ptr<StreamSocket> near, far;
};

TEST(EventLoopTest, RunsWhatOtherThreadsPostInTheirOrder) {
  EventLoop loop;
  ASSERT_TRUE(loop.valid());
  std::string order;
  std::thread other([&] {
    for (char c = 'a'; c <= 'e'; ++c) EXPECT_TRUE(loop.Post([&order, c] { order += c; }));
    EXPECT_TRUE(loop.Post([&] { loop.Stop(); }));
  });
  loop.Run();
  other.join();
  EXPECT_EQ(order, "abcde");
  EXPECT_FALSE(loop.Post([] {})) << "it is over";
}

TEST(EventLoopTest, TimersComeInTheirOrderAndNotTooSoon) {
  EventLoop loop;
  std::string order;
  const auto begin = std::chrono::steady_clock::now();
  loop.At(begin + 30ms, [&] {
    order += 'c';
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 30ms);
    loop.Stop();
  });
  loop.At(begin + 10ms, [&] { order += 'b'; });
  loop.At(begin, [&] {
    order += 'a';
    loop.At(begin + 20ms, [&] { order += 'x'; });
  });
  loop.Run();
  EXPECT_EQ(order, "abxc");
}

TEST(EventLoopTest, AnExceptionOfOneTaskDoesNotEndTheOthers) {
  EventLoop loop;
  bool after = false;
  loop.Post([] { throw std::runtime_error("one"); });
  loop.Post([&] { after = true; });
  loop.At(loop.now(), [] { throw std::runtime_error("two"); });
  loop.At(loop.now() + 5ms, [&] { loop.Stop(); });
  loop.Run();
  EXPECT_TRUE(after);
}

TEST(EventLoopTest, TellsOfBytesAndOfTheEnd) {
  struct Reader final : EventLoop::Watcher {
    Reader(EventLoop& l, StreamSocket& s) : loop(l), socket(s) {}
    void OnEvents(uint32_t events) override {
      socket.OnEvents(events);
      for (;;) {
        const Got got = socket.Fill();
        if (got == Got::kNothing) return;
        if (got == Got::kEnd) return loop.Stop();
        text += socket.input();
        socket.Take(socket.input().size());
      }
    }
    EventLoop& loop;
    StreamSocket& socket;
    std::string text;
  };
  EventLoop loop;
  Pair pair;
  Reader reader(loop, *pair.far);
  ASSERT_TRUE(loop.Watch(pair.far->descriptor(), reader));
  loop.Post([&] { pair.near->Send("hello "); });
  loop.At(loop.now() + 5ms, [&] {
    pair.near->Send("world");
    pair.near->ShutdownWrite();
  });
  loop.Run();
  EXPECT_EQ(reader.text, "hello world");
}

TEST(StreamSocketTest, KeepsWhatTheSocketDoesNotTakeAndSendsItInOrder) {
  Pair pair;
  std::string sent;
  for (int i = 0; pair.near->unsent() < (1 << 20); ++i) {
    const std::string piece(50'000, static_cast<char>('a' + i % 26));
    if (i % 2 == 0) {
      pair.near->Queue(piece);
    } else {
      ASSERT_TRUE(pair.near->Send(piece));
    }
    sent += piece;
  }
  std::string got;
  while (got.size() < sent.size()) {
    pair.far->OnEvents(EventLoop::kReadable);
    if (pair.far->Fill() == Got::kBytes) {
      got += pair.far->input();
      pair.far->Take(pair.far->input().size());
    }
    pair.near->OnEvents(EventLoop::kWritable);
    ASSERT_TRUE(pair.near->Flush());
  }
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(pair.near->bytes_out(), sent.size());
  EXPECT_EQ(pair.near->unsent(), 0u);
}

TEST(StreamSocketTest, GrowsItsBufferUpToTheLimitAndNoFurther) {
  Pair pair;
  ASSERT_TRUE(pair.near->Send(std::string(150'000, 'x')));
  constexpr size_t kLimit = 100'000;
  for (int i = 0; i < 20; ++i) {
    pair.far->OnEvents(EventLoop::kReadable);
    pair.far->Fill(kLimit);
  }
  EXPECT_EQ(pair.far->input().size(), kLimit);
  pair.far->Take(kLimit - 10);
  pair.far->OnEvents(EventLoop::kReadable);
  EXPECT_EQ(pair.far->Fill(kLimit), Got::kBytes) << "there is room again";
  EXPECT_EQ(pair.far->input().substr(0, 10), "xxxxxxxxxx");
}

TEST(StreamSocketTest, ReadsWhatCameBeforeTheEnd) {
  Pair pair;
  ASSERT_TRUE(pair.near->Send("last words"));
  pair.near->Close();
  pair.far->OnEvents(EventLoop::kReadable | EventLoop::kEnded | EventLoop::kBroken);
  EXPECT_EQ(pair.far->Fill(), Got::kBytes);
  EXPECT_EQ(pair.far->input(), "last words");
  pair.far->Take(10);
  EXPECT_EQ(pair.far->Fill(), Got::kEnd);
  EXPECT_FALSE(pair.far->Send("anybody there?"));
}

}  // namespace
}  // namespace leadsman::net
