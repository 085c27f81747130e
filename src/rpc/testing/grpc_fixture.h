#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "rpc/grpc_server.h"
#include "serving/testing/serving_world.h"

namespace leadsman::rpc {

/// A gRPC server with models that echo: "echo" (FP32 [-1, 2]), "pair", "of_<TYPE>", and "pooled", which runs in a pool of
/// one thread and stands still while hold_pool_ is set.
class GrpcServerFixture : public ::testing::Test {
 protected:
  /// Copies each input into the output of its place.
  static Status Echo(int64_t, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
    for (size_t i = 0; i < outputs.size() && i < inputs.size(); ++i) {
      const TensorView& in = inputs[i];
      outputs[i].shape() = in.shape;
      if (in.type == DataType::kBytes) {
        for (std::string_view text : in.as<std::string_view>()) outputs[i].PushString(text);
      } else if (in.element_count > 0) {
        std::memcpy(outputs[i].Extend(static_cast<size_t>(in.element_count)), in.data,
                    in.byte_size());
      }
    }
    return OkStatus();
  }
  FakeBackend& Add(const std::string& name, std::vector<TensorSpec> in,
                   std::vector<TensorSpec> out) {
    FakeBackend& backend = world_.AddBackend(name);
    backend.signature = {std::move(in), std::move(out)};
    backend.run = Echo;
    return backend;
  }

  /// More models, before the server starts.
  virtual void AddModels() {}
  virtual void Configure(GrpcServer::Options& /*options*/) {}

  void SetUp() override {
    using enum DataType;
    world_.AddModel("iris", {1, 2}).labels = {{"old", 1}};
    world_.AddModel("triton", {1}).execution = ExecutionMode::kAuto;
    std::ofstream(world_.folder() / "triton" / kTritonConfigName)
        << "max_batch_size: 8 instance_group { count: 2 } parameters { key: 'k' value { "
           "string_value: "
           "'v' } } dynamic_batching { preferred_batch_size: 4 max_queue_delay_microseconds: 100 } "
           "output { name: 'label' data_type: TYPE_INT64 dims: 1 reshape { } }";
    auto add = [&](const std::string& name, std::vector<TensorSpec> in,
                   std::vector<TensorSpec> out) {
      Add(name, std::move(in), std::move(out));
      world_.AddModel(name, {1}, name).labels = {{"live", 1}};
    };
    add("echo", {{"x", kFp32, {-1, 2}}}, {{"y", kFp32, {-1, 2}}});
    add("columns", {{"x", kFp32, {-1, 1}}}, {{"y", kFp32, {-1, 1}}});
    add("pair", {{"a", kFp32, {-1}}, {"b", kInt64, {-1}}},
        {{"a2", kFp32, {-1}}, {"b2", kInt64, {-1}}});
    for (DataType type : {kBool, kUint8, kUint16, kUint32, kUint64, kInt8, kInt16, kInt32, kInt64,
                          kFp16, kFp32, kFp64, kBytes, kBf16}) {
      add(StrCat("of_", DataTypeName(type)), {{"x", type, {-1}}}, {{"y", type, {-1}}});
    }
    Add("pooled", {{"x", kFp32, {-1}}}, {{"y", kFp32, {-1}}}).run =
        [this](int64_t version, std::span<const TensorView> inputs, std::vector<Tensor>& outputs) {
          for (int i = 0; i < 4000 && hold_pool_; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
          return Echo(version, inputs, outputs);
        };
    world_.AddModel("pooled", {1}, "pooled").execution = ExecutionMode::kPool;
    AddModels();
    Predictor::Options serving;
    serving.pool_threads = 1;
    world_.Start(serving);
    world_.Await([&] { return world_.lifecycle().SettledOnce(); });
    GrpcServer::Options options;
    options.http2.io_threads = 2;
    options.http2.max_body_bytes = 1 << 20;
    options.ready = [this] { return ready_.load(); };
    Configure(options);
    auto server = GrpcServer::Start(world_.predictor(), options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(server).value();
  }
  void TearDown() override {
    if (!server_) return;
    hold_pool_ = false;
    server_->Shutdown(std::chrono::milliseconds(0));
    world_.predictor().Stop(std::chrono::seconds(20));
    server_.reset();
  }

  std::atomic<bool> hold_pool_{false};
  std::atomic<bool> ready_{true};
  ServingWorld world_;
  std::unique_ptr<GrpcServer> server_;
};

}  // namespace leadsman::rpc
