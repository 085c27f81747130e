#include "net/http2_server.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/fake_clock.h"
#include "base/turn.h"
#include "net/body_share.h"
#include "net/testing/http2_raw_client.h"

namespace leadsman::net {
namespace {

using namespace std::chrono_literals;
using Field = Http2Stream::Field;
using Client = Http2RawClient;

/// Does what a test wants done. A stream for /probe counts the sweeps of the server's thread.
struct Handler final : Http2Handler {
  std::function<void(Http2Stream&)> on_head, on_body, on_close;
  std::atomic<int> heads{0}, sweeps{0};

  void OnHead(Http2Stream& stream) override {
    if (stream.path() == "/probe") {
      stream.patient = true;
      return stream.SetAlarm(Http2Stream::Time{});
    }
    ++heads;
    if (on_head) on_head(stream);
  }
  void OnBody(Http2Stream& stream) override {
    if (on_body) on_body(stream);
  }
  void OnClose(Http2Stream& stream, bool /*complete*/) override {
    if (on_close) on_close(stream);
  }
  void OnAlarm(Http2Stream& stream) override {
    ++sweeps;
    stream.SetAlarm(Http2Stream::Time{});
  }
  void OnRefuse(Http2Stream& stream, const Status& why) override {
    const std::string message(why.message());
    const Field fields[] = {{":status", "503"}, {"why", message}};
    stream.SendTrailers(fields);
  }
};

void Answer(Http2Stream& stream, std::string_view body) {
  const Field head[] = {{":status", "200"}};
  const Field end[] = {{"end", "yes"}};
  stream.SendHead(head);
  stream.SendBody(body);
  stream.SendTrailers(end);
}

/// As soon as the request is complete.
void AnswerAtItsEnd(Http2Stream& stream) {
  if (stream.half_closed()) Answer(stream, "ok");
}

/// Bytes that are allocated in this process; 0 where a sanitizer has an allocator of its own.
size_t HeapInUse() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

class Http2ServerTest : public ::testing::Test {
 protected:
  void Start() {
    options_.clock = &clock_;
    options_.keepalive_interval = 1h;
    auto server = Http2Server::Start(options_, handler_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(server).value();
    probe_ = std::make_unique<Client>(port());
    probe_->Send(Client::Head(1, "/probe"));
  }
  uint16_t port() const { return server_->port(); }
  /// Ends early only for a broken server; nothing is measured.
  static bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 4000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }
  /// Time goes by, and the server has seen it.
  void Pass(std::chrono::milliseconds time) {
    clock_.Advance(time);
    const int before = handler_.sweeps;
    ASSERT_TRUE(Eventually([&] { return handler_.sweeps >= before + 2; }));
  }

  FakeClock clock_;
  Http2ServerOptions options_;
  Handler handler_;
  std::unique_ptr<Http2Server> server_;  ///< after what its threads use
  std::unique_ptr<Client> probe_;
};

TEST_F(Http2ServerTest, AnswersACall) {
  handler_.on_body = AnswerAtItsEnd;
  Start();
  Client client(port());
  client.Send(Client::Head(1, "/a") + Client::Data(1, "hello", true));
  auto head = client.ReadUntil(NGHTTP2_HEADERS, 1);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->fields[":status"], "200");
  EXPECT_EQ(client.ReadUntil(NGHTTP2_DATA, 1)->payload, "ok");
  auto trailers = client.ReadUntil(NGHTTP2_HEADERS, 1);
  ASSERT_TRUE(trailers && trailers->end());
  EXPECT_EQ(trailers->fields["end"], "yes");
}

TEST_F(Http2ServerTest, WhatIsLeftForTheEndOfTheTurnRunsOnceAndCanAnswer) {
  std::vector<std::pair<std::shared_ptr<Http2Stream>, int>> waiting;  // of one thread
  std::atomic<int> runs{0};
  handler_.on_body = [&](Http2Stream& stream) {
    if (!stream.half_closed()) return;
    Turn* turn = Turn::OfThisThread();
    ASSERT_NE(turn, nullptr);
    waiting.emplace_back(stream.shared_from_this(), 0);
    if (waiting.size() > 1) return;
    turn->AtEnd([&] {
      ++runs;
      for (auto& [held, ignored] : waiting) {
        EXPECT_TRUE(held->Post([](Http2Stream& s) { Answer(s, "late"); }));
      }
      waiting.clear();
    });
  };
  options_.io_threads = 1;
  Start();
  Client client(port());
  client.Send(Client::Head(1, "/a") + Client::Head(3, "/b") + Client::Data(1, "x", true) +
              Client::Data(3, "y", true));
  EXPECT_EQ(client.ReadUntil(NGHTTP2_DATA, 1)->payload, "late");
  EXPECT_EQ(client.ReadUntil(NGHTTP2_DATA, 3)->payload, "late");
  EXPECT_GE(runs.load(), 1);
  EXPECT_LE(runs.load(), 2) << "two when the bytes came in two turns";
}

// What a stream holds
// ------------------------------------------------------------------------------------------------------------------

TEST_F(Http2ServerTest, AStreamKeepsNothingOfWhatHasBeenTaken) {
  constexpr size_t kBytes = 64 << 20;
  std::promise<size_t> in_use;
  handler_.on_head = [](Http2Stream& stream) { stream.patient = true; };
  handler_.on_body = [&](Http2Stream& stream) {
    // One byte stays: the stream is never empty.
    if (stream.body().size() > 1) stream.Take(stream.body().size() - 1);
    if (stream.half_closed()) {
      in_use.set_value(HeapInUse());
      Answer(stream, "");
    }
  };
  Start();
  Client client(port());
  ASSERT_TRUE(client.Sync());  // with the server's settings
  client.Send(Client::Head(1, "/a"));
  const size_t before = HeapInUse();
  const std::string piece(16 << 10, 'x');
  size_t credit = 1 << 20;  // as the server's settings say
  for (size_t sent = 0; sent < kBytes; sent += piece.size()) {
    while (credit < piece.size()) {
      auto update = client.ReadUntil(NGHTTP2_WINDOW_UPDATE, 1);
      ASSERT_TRUE(update);
      credit += static_cast<uint8_t>(update->payload[1]) << 16 |
                static_cast<uint8_t>(update->payload[2]) << 8 |
                static_cast<uint8_t>(update->payload[3]);
    }
    credit -= piece.size();
    ASSERT_TRUE(client.Send(Client::Data(1, piece)));
  }
  client.Send(Client::Data(1, "", true));
  ASSERT_TRUE(client.ReadUntil(NGHTTP2_HEADERS, 1));
  EXPECT_LT(in_use.get_future().get(), before + (16 << 20));
}

TEST_F(Http2ServerTest, AStreamKeepsNothingOfWhatHasBeenSent) {
  constexpr int kPieces = 512;
  constexpr uint32_t kBytes = 64 << 10;
  std::promise<size_t> in_use;
  int pieces = 0;
  handler_.on_head = [](Http2Stream& stream) {
    stream.patient = true;
    const Field head[] = {{":status", "200"}};
    stream.SendHead(head);
  };
  handler_.on_body = [&](Http2Stream& stream) {
    stream.Take(stream.body().size());
    if (pieces < kPieces) stream.SendBody(std::string(kBytes, 'x'));
    // One piece is always left: the answer is never empty.
    if (++pieces == kPieces) {
      EXPECT_GE(stream.unsent(), kBytes);
      in_use.set_value(HeapInUse());
    }
  };
  Start();
  Client client(port(), 0);
  ASSERT_TRUE(client.Sync());
  const size_t before = HeapInUse();
  client.Send(Client::Head(1, "/a") + Client::Data(1, "x") + Client::Credit(0, 0x7fffffff - 65535));
  for (int sent = 1; sent < kPieces; ++sent) {
    ASSERT_TRUE(client.Sync());  // so that the pieces are asked for one by one
    client.Send(Client::Data(1, "x"));
    ASSERT_TRUE(client.Sync());
    client.Send(Client::Credit(1, kBytes));
    for (size_t read = 0; read < kBytes;) {
      auto frame = client.ReadUntil(NGHTTP2_DATA, 1);
      ASSERT_TRUE(frame);
      read += frame->payload.size();
    }
  }
  EXPECT_LT(in_use.get_future().get(), before + (8 << 20));
}

TEST_F(Http2ServerTest, ABigMessageLeavesNoBigBuffer) {
  constexpr size_t kBytes = 16 << 20;
  std::promise<size_t> in_use;
  handler_.on_head = [](Http2Stream& stream) {
    stream.patient = true;
    stream.ExpectBody(kBytes);
  };
  handler_.on_body = [&](Http2Stream& stream) {
    if (stream.body().size() < kBytes) return stream.ExpectBody(kBytes);
    stream.Take(kBytes);
    in_use.set_value(HeapInUse());
  };
  Start();
  Client client(port());
  ASSERT_TRUE(client.Sync());  // with the server's settings
  client.Send(Client::Head(1, "/a"));
  const size_t before = HeapInUse();
  // The whole of it is wanted, so that the client is never without credit for long. It does not look at it here.
  const std::string piece(16 << 10, 'x');
  for (size_t sent = 0; sent < kBytes; sent += piece.size()) {
    ASSERT_TRUE(client.Send(Client::Data(1, piece)));
    if (sent % (256 << 10) == 0) {
      ASSERT_TRUE(client.Sync());
    }
  }
  EXPECT_LT(in_use.get_future().get(), before + (4 << 20));
}

TEST_F(Http2ServerTest, AClientCannotSendFasterThanItIsServed) {
  handler_.on_head = [](Http2Stream& stream) { stream.patient = true; };
  handler_.on_body = [](Http2Stream& stream) { stream.Take(10); };
  Start();
  Client client(port());
  ASSERT_TRUE(client.Sync());  // with the server's settings
  client.Send(Client::Head(1, "/a"));
  for (int i = 0; i < 60; ++i) client.Send(Client::Data(1, std::string(16 << 10, 'x')));
  client.Send(Client::Ping());
  // All but a few bytes wait to be taken: there is no new credit for the stream.
  for (;;) {
    auto frame = client.Read();
    ASSERT_TRUE(frame);
    EXPECT_FALSE(frame->type == NGHTTP2_WINDOW_UPDATE && frame->stream == 1);
    if (frame->type == NGHTTP2_PING) break;
  }
}

TEST_F(Http2ServerTest, MessagesBehindOneOfTheLargestSizeAreNotTooMuch) {
  options_.max_body_bytes = 1000;
  std::promise<void> all;
  handler_.on_head = [](Http2Stream& stream) { stream.patient = true; };
  handler_.on_body = [&](Http2Stream& stream) {
    if (stream.body().size() == 3000) all.set_value();
  };
  Start();
  Client client(port());
  client.Send(Client::Head(1, "/a") + Client::Data(1, std::string(3000, 'x')));
  EXPECT_EQ(all.get_future().wait_for(20s), std::future_status::ready);
}

TEST_F(Http2ServerTest, AStateThatIsDroppedIsNotUsedAgain) {
  std::vector<int> uses;
  handler_.on_body = [&](Http2Stream& stream) {
    uses.push_back(++stream.State<int>());
    Answer(stream, "");
  };
  handler_.on_close = [&](Http2Stream& stream) {
    if (stream.state<int>() != nullptr && *stream.state<int>() == 2) stream.DropState();
  };
  Start();
  Client client(port());
  for (int id : {1, 3, 5}) {
    client.Send(Client::Head(id, "/a", true));
    ASSERT_TRUE(client.Sync());
  }
  EXPECT_EQ(uses, (std::vector<int>{1, 2, 1}));
}

// What a connection holds
// ------------------------------------------------------------------------------------------------------------------

TEST_F(Http2ServerTest, WhoMakesItAnswerAndDoesNotReadIsClosed) {
  options_.max_streams = 1;
  Start();
  Client client(port(), 65535, 4096);
  // The first stays; each of the others is refused, which is a frame.
  client.Send(Client::Head(1, "/a"));
  bool open = true;
  int id = 3;
  while (open && id < 6'000'000) {
    std::string many;
    for (int i = 0; i < 1000; ++i, id += 2) many += Client::Head(id, "/");
    open = client.Send(many);
  }
  EXPECT_FALSE(open);
}

TEST_F(Http2ServerTest, RefusesCallsOfAClientThatLeavesItsAnswersUnread) {
  options_.max_body_bytes = 1000;  // so that 4000 bytes may wait
  handler_.on_body = [](Http2Stream& stream) { Answer(stream, std::string(2000, 'x')); };
  Start();
  Client client(port(), 0);
  // The head comes although there is no credit for what follows.
  for (int id : {1, 3, 5, 7}) client.Send(Client::Head(id, "/a", true));
  auto refused = client.ReadUntil(NGHTTP2_HEADERS, 7);
  ASSERT_TRUE(refused && refused->end());
  EXPECT_NE(refused->fields["why"].find("has not read hold more than 4000 bytes"),
            std::string::npos)
      << refused->fields["why"];
  for (int id : {1, 3, 5}) client.Send(Client::Credit(id, 2000));
  ASSERT_TRUE(client.Sync());
  client.Send(Client::Head(9, "/a", true) + Client::Credit(9, 2000));
  EXPECT_EQ(client.ReadUntil(NGHTTP2_DATA, 9)->payload.size(), 2000u);
}

TEST_F(Http2ServerTest, WhatWouldBeTooMuchOfAllConnectionsTogetherIsRefused) {
  options_.body_budget = std::make_shared<ByteBudget>(256 << 10);
  handler_.on_body = [](Http2Stream& stream) {
    if (!stream.half_closed()) return;
    stream.Take(stream.body().size());
    Answer(stream, "ok");
  };
  options_.limits_setting = "server.limits";
  Start();
  const std::string piece(16 << 10, 'x');
  auto send = [&](Client& client, int id, int pieces) {
    client.Send(Client::Head(id, "/a"));
    for (int i = 0; i < pieces; ++i) client.Send(Client::Data(id, piece));
  };
  auto slow = std::make_unique<Client>(port());
  ASSERT_TRUE(slow->Sync());
  send(*slow, 1, 18);
  ASSERT_TRUE(slow->Sync());
  EXPECT_EQ(options_.body_budget->held(), size_t{256} << 10);
  Client client(port());
  ASSERT_TRUE(client.Sync());
  send(client, 1, 5);
  auto refused = client.ReadUntil(NGHTTP2_HEADERS, 1);
  ASSERT_TRUE(refused && refused->end());
  EXPECT_NE(refused->fields["why"].find("262144 bytes (server.limits.max_held); try again later"),
            std::string::npos)
      << refused->fields["why"];
  EXPECT_EQ(server_->stats().bodies_refused, 1u);
  // Small ones go on, and the slow one is answered.
  client.Send(Client::Head(3, "/a") + Client::Data(3, piece, true));
  EXPECT_EQ(client.ReadUntil(NGHTTP2_DATA, 3)->payload, "ok");
  slow->Send(Client::Data(1, "", true));
  EXPECT_EQ(slow->ReadUntil(NGHTTP2_DATA, 1)->payload, "ok");
  EXPECT_EQ(options_.body_budget->held(), 0u);
  // So is what goes away with its connection.
  send(*slow, 3, 18);
  ASSERT_TRUE(slow->Sync());
  slow.reset();
  EXPECT_TRUE(Eventually([&] { return options_.body_budget->held() == 0; }));
}

TEST_F(Http2ServerTest, FramesWithNothingInThemEndTheConnection) {
  Start();
  Client client(port());
  std::string frames = Client::Head(1, "/a");
  for (int i = 0; i < 1000; ++i) frames += Client::Data(1, "");
  client.Send(frames);
  auto goaway = client.ReadUntil(NGHTTP2_GOAWAY, 0);
  ASSERT_TRUE(goaway);
  EXPECT_EQ(goaway->payload.substr(4, 4), BigEndian(NGHTTP2_ENHANCE_YOUR_CALM));
}

TEST_F(Http2ServerTest, ABrokenFrameBehindThoseWithNothingInThemIsNoMore) {
  handler_.on_body = AnswerAtItsEnd;
  Start();
  {
    Client client(port());
    std::string frames = Client::Head(1, "/a");
    for (int i = 0; i < 1000; ++i) frames += Client::Data(1, "");
    client.Send(frames + Http2Frame(NGHTTP2_PING, 0, 0, "abc"));
    while (client.Read()) {
    }
  }
  Client other(port());
  other.Send(Client::Head(1, "/a", true));
  EXPECT_TRUE(other.ReadUntil(NGHTTP2_HEADERS, 1));
}

TEST_F(Http2ServerTest, FramesWithNothingInThemBetweenOthersAreFine) {
  handler_.on_body = AnswerAtItsEnd;
  Start();
  Client client(port());
  std::string frames = Client::Head(1, "/a");
  for (int i = 0; i < 2000; ++i) frames += Client::Data(1, i % 500 == 0 ? "x" : "");
  client.Send(frames + Client::Data(1, "", true));
  EXPECT_TRUE(client.ReadUntil(NGHTTP2_DATA, 1));
}

TEST_F(Http2ServerTest, AHeadThatIsTooLargeIsToldSo) {
  options_.max_header_bytes = 1000;
  handler_.on_body = AnswerAtItsEnd;
  Start();
  Client client(port());
  const std::string large(2000, 'x');
  client.Send(Http2Frame(NGHTTP2_HEADERS, 5, 1,
                         Hpack({{":method", "POST"},
                                {":scheme", "http"},
                                {":path", "/a"},
                                {":authority", "x"},
                                {"large", large},
                                {"small", "y"}})));
  auto refused = client.ReadUntil(NGHTTP2_HEADERS, 1);
  ASSERT_TRUE(refused && refused->end());
  EXPECT_NE(refused->fields["why"].find("1000 bytes (server.limits.max_header)"),
            std::string::npos);
  EXPECT_EQ(handler_.heads, 0);
  client.Send(Client::Head(3, "/a", true));
  EXPECT_TRUE(client.ReadUntil(NGHTTP2_DATA, 3)) << "the connection goes on";
}

// Turns
// ------------------------------------------------------------------------------------------------------------------

class Http2TurnsTest : public Http2ServerTest {
 protected:
  /// The paths in the order in which OnBody was called, of two clients whose requests are all in the server's sockets before
  /// its thread looks at any of them.
  std::vector<std::string> Serve(const std::string& one, const std::string& two, size_t calls,
                                 const std::function<void(Http2Stream&)>& serve) {
    std::promise<void> blocked, go;
    std::vector<std::string> order;
    std::atomic<size_t> called{0};
    handler_.on_body = [&](Http2Stream& stream) {
      if (stream.path() == "/block") {
        blocked.set_value();
        go.get_future().wait();
        return;
      }
      order.emplace_back(stream.path());
      serve(stream);
      ++called;
    };
    Start();
    Client first(port()), second(port()), block(port());
    EXPECT_TRUE(first.Sync() && second.Sync());
    block.Send(Client::Head(1, "/block", true));
    blocked.get_future().wait();
    first.Send(one);
    second.Send(two);
    EXPECT_TRUE(Eventually([&] { return first.Delivered() && second.Delivered(); }));
    go.set_value();
    EXPECT_TRUE(Eventually([&] { return called >= calls; }));
    server_.reset();
    return order;
  }
  static std::string Calls(std::string_view path, int count) {
    std::string calls;
    for (int i = 0; i < count; ++i) calls += Client::Head(2 * i + 1, path, true);
    return calls;
  }
  /// While both clients have something to do: the loop may see what one has sent a turn before it
  /// sees what the other has, although both have arrived.
  static size_t LongestRun(const std::vector<std::string>& order, size_t of_each) {
    size_t longest = 0, run = 0;
    std::map<std::string, size_t> seen;
    for (size_t i = 0; i < order.size(); ++i) {
      run = i > 0 && order[i] == order[i - 1] ? run + 1 : 1;
      if (++seen[order[i]] == of_each) break;
      if (seen.size() > 1) longest = std::max(longest, run);
    }
    return longest;
  }
};

TEST_F(Http2TurnsTest, ManyCallsOfOneClientDoNotKeepOthersWaiting) {
  const auto order = Serve(Calls("/one", 300), Calls("/two", 300), 600,
                           [](Http2Stream& stream) { Answer(stream, ""); });
  EXPECT_EQ(order.size(), 600u);
  EXPECT_LE(LongestRun(order, 300), 32u);
}

TEST_F(Http2TurnsTest, AHandlerThatHasMoreToDoComesBackAfterOthers) {
  std::map<std::string, int> left = {{"/one", 300}, {"/two", 300}};
  const auto order = Serve(Calls("/one", 1), Calls("/two", 1), 600, [&](Http2Stream& stream) {
    if (--left[std::string(stream.path())] > 0) stream.CallAgain();
  });
  EXPECT_EQ(order.size(), 600u);
  EXPECT_LE(LongestRun(order, 300), 32u);
}

TEST_F(Http2TurnsTest, StreamsOfAConnectionTakeTurns) {
  int left = 10;
  const auto order =
      Serve(Calls("/one", 1) + Client::Head(3, "/two", true), "", 11, [&](Http2Stream& stream) {
        if (stream.path() == "/one" && --left > 0) stream.CallAgain();
      });
  ASSERT_EQ(order.size(), 11u);
  EXPECT_EQ(order[1], "/two");
}

// Time
// ------------------------------------------------------------------------------------------------------------------

TEST_F(Http2ServerTest, ALargeAnswerAfterALongTimeHasItsTimeToBeRead) {
  std::promise<std::shared_ptr<Http2Stream>> held;
  handler_.on_body = [&](Http2Stream& stream) { held.set_value(stream.shared_from_this()); };
  Start();
  Client client(port());
  client.Send(Client::Head(1, "/a", true));
  std::shared_ptr<Http2Stream> stream = held.get_future().get();
  Pass(40s);
  ASSERT_TRUE(stream->Post([](Http2Stream& s) { Answer(s, std::string(100'000, 'x')); }));
  Pass(20s);
  Pass(5s);
  client.Send(Client::Credit(1, 100'000) + Client::Credit(0, 100'000));
  for (;;) {
    auto frame = client.Read();
    ASSERT_TRUE(frame);
    ASSERT_NE(frame->type, NGHTTP2_RST_STREAM);
    if (frame->type == NGHTTP2_HEADERS && frame->end()) break;
  }
}

TEST_F(Http2ServerTest, AnAnswerThatIsNotTakenIsReset) {
  handler_.on_body = [&](Http2Stream& stream) { Answer(stream, std::string(100'000, 'x')); };
  Start();
  Client client(port());
  client.Send(Client::Head(1, "/a", true));
  ASSERT_TRUE(client.Sync());
  Pass(31s);
  EXPECT_TRUE(client.ReadUntil(NGHTTP2_RST_STREAM, 1));
}

TEST_F(Http2ServerTest, ASlowLinkIsNotCutWhileBytesLeave) {
  constexpr size_t kBytes = 24 << 20;
  handler_.on_body = [&](Http2Stream& stream) { Answer(stream, std::string(kBytes, 'x')); };
  Start();
  Client client(port(), 0x7fffffff, 64 << 10);
  client.Send(Client::Credit(0, 0x7fffffff - 65535) + Client::Head(1, "/a", true));
  size_t read = 0;
  auto read_more = [&](size_t bytes) {
    for (const size_t until = std::min(read + bytes, kBytes); read < until;) {
      auto frame = client.ReadUntil(NGHTTP2_DATA, 1);
      if (!frame) return false;
      read += frame->payload.size();
    }
    return true;
  };
  ASSERT_TRUE(read_more(1));
  for (int i = 0; i < 4; ++i) {
    Pass(20s);
    const uint64_t sent = server_->stats().bytes_out;
    ASSERT_TRUE(read_more(4 << 20));
    ASSERT_TRUE(Eventually([&] { return server_->stats().bytes_out > sent; }));
  }
  EXPECT_TRUE(read_more(kBytes));
  EXPECT_EQ(server_->stats().timeouts, 0u);
}

TEST_F(Http2ServerTest, AConnectionWithoutStreamsIsToldToGo) {
  handler_.on_body = AnswerAtItsEnd;
  Start();
  Client client(port());
  Pass(74s);
  client.Send(Client::Head(1, "/a", true));
  ASSERT_TRUE(client.Sync());
  Pass(74s);
  client.Send(Client::Ping());
  auto frame = client.ReadUntil(NGHTTP2_PING, 0);
  ASSERT_TRUE(frame) << "a call has been made since";
  Pass(2s);
  auto soon = client.ReadUntil(NGHTTP2_GOAWAY, 0);
  ASSERT_TRUE(soon);
  EXPECT_EQ(soon->payload, BigEndian(0x7fffffff) + BigEndian(NGHTTP2_NO_ERROR));
  // What was on its way is answered.
  client.Send(Client::Head(3, "/a", true));
  EXPECT_TRUE(client.ReadUntil(NGHTTP2_DATA, 3));
  Pass(1s);
  auto now = client.ReadUntil(NGHTTP2_GOAWAY, 0);
  ASSERT_TRUE(now);
  EXPECT_EQ(now->payload, BigEndian(3) + BigEndian(NGHTTP2_NO_ERROR));
  EXPECT_FALSE(client.Read());
  EXPECT_TRUE(Eventually([&] { return handler_.sweeps > 0; })) << "one with a stream stays";
}

TEST_F(Http2ServerTest, AnOldConnectionIsToldToGoAndItsCallsAreAnswered) {
  options_.max_connection_age = 60s;
  std::promise<std::shared_ptr<Http2Stream>> held;
  handler_.on_body = [&](Http2Stream& stream) { held.set_value(stream.shared_from_this()); };
  Start();
  Client client(port());
  client.Send(Client::Head(1, "/a", true));
  std::shared_ptr<Http2Stream> stream = held.get_future().get();
  Pass(53s);
  client.Send(Client::Ping());
  ASSERT_TRUE(client.ReadUntil(NGHTTP2_PING, 0)) << "nine tenths of its time have not passed";
  Pass(14s);
  auto soon = client.ReadUntil(NGHTTP2_GOAWAY, 0);
  ASSERT_TRUE(soon);
  EXPECT_EQ(soon->payload, BigEndian(0x7fffffff) + BigEndian(NGHTTP2_NO_ERROR));
  Pass(30min);
  auto now = client.ReadUntil(NGHTTP2_GOAWAY, 0);
  ASSERT_TRUE(now);
  EXPECT_EQ(now->payload, BigEndian(1) + BigEndian(NGHTTP2_NO_ERROR));
  // However long it takes.
  ASSERT_TRUE(stream->Post([](Http2Stream& s) { Answer(s, "ok"); }));
  EXPECT_TRUE(client.ReadUntil(NGHTTP2_DATA, 1));
  while (client.Read()) {
  }
}

TEST_F(Http2ServerTest, TheCallsOfAnOldConnectionAreCutAfterItsGrace) {
  options_.max_connection_age = 60s;
  options_.max_connection_age_grace = 30s;
  Start();
  Client client(port());
  client.Send(Client::Head(1, "/a", true));
  ASSERT_TRUE(client.Sync());
  Pass(67s);
  ASSERT_TRUE(client.ReadUntil(NGHTTP2_GOAWAY, 0));
  clock_.Advance(30s);  // the probe's connection is as old
  while (client.Read()) {
  }
  EXPECT_TRUE(Eventually([&] { return server_->stats().connections_open == 0; }));
}

}  // namespace
}  // namespace leadsman::net
