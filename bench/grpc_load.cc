// Load on a gRPC model server, closed loop: each connection has one request in flight.
//
//   grpc_load --target 127.0.0.1:8500 --method v2|tfs --model mlp --input x --shape 1,784 --connections 8 --seconds 5
//
// Prints one line of JSON: {"requests":…,"errors":…,"seconds":…,"requests_per_second":…,"p50_us":…,"p90_us":…,"p99_us":…}.
// The input is FP32, filled with numbers between 0 and 1; requests are made once and sent again and again. Exit code 1
// when nothing was answered.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/strings.h"
#include "base/wire.h"

namespace {

using leadsman::ParseInt64;
using leadsman::StrCat;
using leadsman::WireReader;
using leadsman::WireWriter;
using Clock = std::chrono::steady_clock;

struct Options {
  std::string target = "127.0.0.1:8500";
  std::string method = "v2";
  std::string model = "mlp";
  std::string input = "x";
  std::vector<int64_t> shape = {1, 784};
  int connections = 8;
  int threads = 1;
  double seconds = 5;
  double warmup = 0.5;
};

std::string Values(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (int64_t dim : shape) count *= dim;
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) {
    const float value = static_cast<float>((i * 37) % 1000) / 1000.0f;
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return bytes;
}

std::string V2Request(const Options& options) {
  std::string request;
  WireWriter out(request);
  out.Text(1, options.model);
  out.Message(5, [&](WireWriter& input) {
    input.Text(1, options.input);
    input.Text(2, "FP32");
    input.Message(3, [&](WireWriter& packed) {
      for (int64_t dim : options.shape) packed.Varint(static_cast<uint64_t>(dim));
    });
  });
  out.Bytes(7, Values(options.shape));
  return request;
}

std::string PredictRequest(const Options& options) {
  std::string request;
  WireWriter out(request);
  out.Message(1, [&](WireWriter& spec) { spec.Text(1, options.model); });
  out.Message(2, [&](WireWriter& entry) {
    entry.Text(1, options.input);
    entry.Message(2, [&](WireWriter& tensor) {
      tensor.Number(1, 1);
      tensor.Message(2, [&](WireWriter& shape) {
        for (int64_t dim : options.shape) {
          shape.Message(2, [&](WireWriter& d) { d.Number(1, static_cast<uint64_t>(dim)); });
        }
      });
      tensor.Bytes(4, Values(options.shape));
    });
  });
  return request;
}

struct Connection {
  std::unique_ptr<grpc::GenericStub> stub;
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
  grpc::ByteBuffer response;
  grpc::Status status;
  Clock::time_point sent;

  void Send(const std::string& path, const grpc::ByteBuffer& request,
            grpc::CompletionQueue& queue) {
    context = std::make_unique<grpc::ClientContext>();
    sent = Clock::now();
    call = stub->PrepareUnaryCall(context.get(), path, request, &queue);
    call->StartCall();
    call->Finish(&response, &status, this);
  }
};

struct Tally {
  std::vector<float> latencies_us;
  uint64_t errors = 0;
  std::string first_error;
};

void Run(const Options& options, int connections, const std::string& path, const std::string& bytes,
         Clock::time_point from, Clock::time_point until, Tally& tally) {
  grpc::CompletionQueue queue;
  grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  std::vector<std::unique_ptr<Connection>> all;
  for (int i = 0; i < connections; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
    auto connection = std::make_unique<Connection>();
    connection->stub = std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(options.target, grpc::InsecureChannelCredentials(), arguments));
    connection->Send(path, request, queue);
    all.push_back(std::move(connection));
  }
  void* tag;
  bool ok;
  for (int open = connections; open > 0 && queue.Next(&tag, &ok);) {
    auto& connection = *static_cast<Connection*>(tag);
    const Clock::time_point now = Clock::now();
    if (!connection.status.ok()) {
      if (tally.errors++ == 0) tally.first_error = connection.status.error_message();
    } else if (connection.sent >= from && now <= until) {
      tally.latencies_us.push_back(
          std::chrono::duration<float, std::micro>(now - connection.sent).count());
    }
    if (now < until) {
      connection.Send(path, request, queue);
    } else {
      --open;
    }
  }
}

bool ParseFlags(int count, char** words, Options& options) {
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = words[i];
    const std::string value = words[i + 1];
    if (name == "--target") {
      options.target = value;
    } else if (name == "--method") {
      options.method = value;
    } else if (name == "--model") {
      options.model = value;
    } else if (name == "--input") {
      options.input = value;
    } else if (name == "--shape") {
      options.shape.clear();
      for (std::string_view dim : leadsman::Split(value, ','))
        options.shape.push_back(ParseInt64(dim).value_or(1));
    } else if (name == "--connections") {
      options.connections = static_cast<int>(ParseInt64(value).value_or(8));
    } else if (name == "--threads") {
      options.threads = static_cast<int>(ParseInt64(value).value_or(1));
    } else if (name == "--seconds") {
      options.seconds = leadsman::ParseDouble(value).value_or(5);
    } else if (name == "--warmup") {
      options.warmup = leadsman::ParseDouble(value).value_or(0.5);
    } else {
      return false;
    }
  }
  return count % 2 == 1 && (options.method == "v2" || options.method == "tfs") &&
         options.threads > 0 && options.connections >= options.threads;
}

}  // namespace

int main(int count, char** words) {
  Options options;
  if (!ParseFlags(count, words, options)) {
    std::fprintf(stderr,
                 "usage: grpc_load [--target HOST:PORT] [--method v2|tfs] [--model NAME] [--input "
                 "NAME] [--shape 1,784]\n"
                 "                 [--connections N] [--threads N] [--seconds S] [--warmup S]\n");
    return 2;
  }
  const bool v2 = options.method == "v2";
  const std::string path = v2 ? "/inference.GRPCInferenceService/ModelInfer"
                              : "/tensorflow.serving.PredictionService/Predict";
  const std::string bytes = v2 ? V2Request(options) : PredictRequest(options);
  const auto from =
      Clock::now() + std::chrono::microseconds(static_cast<int64_t>(options.warmup * 1e6));
  const auto until = from + std::chrono::microseconds(static_cast<int64_t>(options.seconds * 1e6));
  std::vector<Tally> tallies(static_cast<size_t>(options.threads));
  std::vector<std::thread> threads;
  for (int i = 0; i < options.threads; ++i) {
    const int share =
        options.connections / options.threads + (i < options.connections % options.threads ? 1 : 0);
    threads.emplace_back([&, i, share] {
      Run(options, share, path, bytes, from, until, tallies[static_cast<size_t>(i)]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<float> all;
  uint64_t errors = 0;
  for (const Tally& tally : tallies) {
    all.insert(all.end(), tally.latencies_us.begin(), tally.latencies_us.end());
    errors += tally.errors;
    if (!tally.first_error.empty()) std::fprintf(stderr, "error: %s\n", tally.first_error.c_str());
  }
  std::sort(all.begin(), all.end());
  auto at = [&](double share) {
    return all.empty() ? 0.0
                       : static_cast<double>(
                             all[static_cast<size_t>(share * static_cast<double>(all.size() - 1))]);
  };
  std::printf(
      "{\"requests\":%zu,\"errors\":%llu,\"seconds\":%.3f,\"requests_per_second\":%.1f,\"p50_us\":%"
      ".1f,\"p90_us\":%.1f,"
      "\"p99_us\":%.1f}\n",
      all.size(), static_cast<unsigned long long>(errors), options.seconds,
      static_cast<double>(all.size()) / options.seconds, at(0.5), at(0.9), at(0.99));
  return all.empty() ? 1 : 0;
}
