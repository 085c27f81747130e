// The server's threads against one another: this is what runs under ThreadSanitizer, with a client that has no threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "base/rng.h"
#include "rpc/testing/grpc_fixture.h"
#include "rpc/testing/proto_text.h"
#include "rpc/testing/threadless_client.h"

namespace leadsman::rpc {
namespace {

constexpr const char* kInfer = "/inference.GRPCInferenceService/ModelInfer";
constexpr const char* kStream = "/inference.GRPCInferenceService/ModelStreamInfer";
constexpr const char* kWatch = "/grpc.health.v1.Health/Watch";
constexpr int kClients = 4;

/// Cheap; in the shared pool; in batches, on two instances.
constexpr const char* kModels[] = {"of_FP32", "pooled", "batched"};

class GrpcThreadsTest : public GrpcServerFixture {
 protected:
  void AddModels() override {
    Add("batched", {{"x", DataType::kFp32, {-1}}}, {{"y", DataType::kFp32, {-1}}});
    ModelConfig& model = world_.AddModel("batched", {1}, "batched");
    model.execution = ExecutionMode::kAuto;
    model.instances = 2;
    model.batching.emplace().max_batch_size = 4;
  }
  void Configure(GrpcServer::Options& options) override { options.max_stream_requests = 8; }
  void SetUp() override {
    GrpcServerFixture::SetUp();
    // Once, on this thread: protocol buffers' own library is not built with the sanitizer.
    for (const char* model : kModels) {
      requests_.push_back(FromText(
          "inference.ModelInferRequest",
          StrCat(
              "model_name: '", model,
              "' inputs { name: 'x' datatype: 'FP32' shape: 1 contents { fp32_contents: 5 } }")));
    }
  }
  const std::string& Request(uint64_t n) const { return requests_[n % requests_.size()]; }

  /// `work(client, number)` on so many threads, each with a connection of its own; main thread reads what others may.
  void WithClients(const std::function<void(ThreadlessClient&, int)>& work) {
    std::atomic<int> at_work{kClients};
    connected_ += kClients;
    std::vector<std::thread> threads;
    for (int i = 0; i < kClients; ++i) {
      threads.emplace_back([&, i] {
        {
          ThreadlessClient client(server_->port());
          work(client, i);
        }
        --at_work;
      });
    }
    while (at_work > 0) {
      EXPECT_GE(server_->stream_stats().requests, 0);
      // Not kClients: those that went away in an earlier round may not have been noticed yet.
      EXPECT_LE(server_->stats().connections_open, connected_);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    for (std::thread& thread : threads) thread.join();
  }

  std::vector<std::string> requests_;
  uint64_t connected_ = 0;  ///< connections that the test has begun
};

TEST_F(GrpcThreadsTest, ManyCallsOnEachOfManyConnections) {
  std::atomic<int> right{0};
  WithClients([&](ThreadlessClient& client, int number) {
    for (int round = 0; round < 25; ++round) {
      std::vector<int> calls;
      for (uint64_t i = 0; i < 8; ++i) {
        calls.push_back(client.Start(kInfer));
        client.Write(calls.back(), Request(i + static_cast<uint64_t>(number)));
        client.WritesDone(calls.back());
      }
      ASSERT_TRUE(client.Drive([&] {
        return std::all_of(calls.begin(), calls.end(),
                           [&](int id) { return client.call(id).status.has_value(); });
      }));
      for (int id : calls) {
        if (client.call(id).status->ok() && client.call(id).messages.size() == 1) ++right;
        EXPECT_TRUE(client.call(id).status->ok()) << *client.call(id).status;
        client.Forget(id);
      }
    }
  });
  EXPECT_EQ(right, kClients * 25 * 8);
}

TEST_F(GrpcThreadsTest, StreamsAreAnsweredWhileOthersAreCancelled) {
  constexpr size_t kRequests = 40;
  std::atomic<int> whole{0}, cancelled{0};
  WithClients([&](ThreadlessClient& client, int number) {
    Rng rng(static_cast<uint64_t>(number) + 1);
    for (int round = 0; round < 6; ++round) {
      std::vector<int> streams;
      for (int i = 0; i < 4; ++i) {
        streams.push_back(client.Start(kStream));
        for (size_t n = 0; n < kRequests; ++n) client.Write(streams.back(), Request(rng()));
        client.WritesDone(streams.back());
      }
      // Every second one is given up somewhere on its way.
      const size_t until = rng.Below(kRequests);
      client.Drive([&] { return client.call(streams[0]).messages.size() >= until; });
      for (size_t i = 1; i < streams.size(); i += 2) client.Cancel(streams[i]);
      ASSERT_TRUE(client.Drive([&] {
        return std::all_of(streams.begin(), streams.end(),
                           [&](int id) { return client.call(id).status.has_value(); });
      }));
      for (size_t i = 0; i < streams.size(); ++i) {
        const ThreadlessClient::Call& call = client.call(streams[i]);
        if (i % 2 == 0) {
          EXPECT_TRUE(call.status->ok()) << *call.status;
          EXPECT_EQ(call.messages.size(), kRequests);
        }
        ++(call.status->ok() ? whole : cancelled);
        client.Forget(streams[i]);
      }
    }
  });
  EXPECT_GE(whole, kClients * 6 * 2);
  world_.Await([&] { return server_->stream_stats().requests == 0; });
  EXPECT_EQ(server_->stream_stats().requests, 0);
}

TEST_F(GrpcThreadsTest, ConnectionsBreakWithCallsInEveryState) {
  for (int round = 0; round < 10; ++round) {
    WithClients([&](ThreadlessClient& client, int number) {
      Rng rng(static_cast<uint64_t>(number * 100 + round));
      std::vector<int> calls;
      for (int i = 0; i < 6; ++i) {
        calls.push_back(client.Start(i % 3 == 0 ? kInfer : i % 3 == 1 ? kStream : kWatch));
        client.Write(calls.back(), i % 3 == 2 ? "" : Request(rng()));
        if (i % 2 == 0) client.WritesDone(calls.back());
      }
      const size_t wanted = rng.Below(3);
      client.Drive([&] { return client.call(calls[1]).messages.size() + 1 >= wanted; });
    });
  }
  world_.Await([&] { return server_->stats().connections_open == 0; });
  EXPECT_EQ(server_->stats().connections_open, 0u);
}

TEST_F(GrpcThreadsTest, ADrainUnderLoadFailsNoCall) {
  std::atomic<int> answered{0}, failed{0}, told{0};
  std::thread drain([&] {
    world_.Await([&] { return answered > 100; });
    server_->BeginDrain(std::chrono::seconds(60));
  });
  WithClients([&](ThreadlessClient& client, int number) {
    // A client that does as it is told: no call once it has read GOAWAY, and its streams are ended.
    const int stream = client.Start(kStream);
    size_t asked = 0;
    for (uint64_t n = static_cast<uint64_t>(number); !client.told_to_go(); ++n) {
      client.Write(stream, Request(n));
      ++asked;
      ++(client.Ask(kInfer, Request(n)).status->ok() ? answered : failed);
    }
    client.WritesDone(stream);
    ++told;
    EXPECT_TRUE(client.Drive([&] { return client.call(stream).status.has_value(); }));
    EXPECT_TRUE(client.call(stream).status->ok()) << *client.call(stream).status;
    EXPECT_EQ(client.call(stream).messages.size(), asked);
  });
  drain.join();
  EXPECT_TRUE(server_->AwaitDrained(std::chrono::seconds(20)));
  EXPECT_EQ(told, kClients);
  EXPECT_EQ(failed, 0);
  EXPECT_GT(answered, 100);
}

}  // namespace
}  // namespace leadsman::rpc
