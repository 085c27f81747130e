#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "serving/predictor.h"
#include "serving/testing/serving_world.h"

namespace leadsman {
namespace {

using namespace std::chrono_literals;

/// A model of two inputs: numbers of any length, and a text of any bytes. sum[i] of the numbers, said[i] the text.
class MixedShapesTest : public ::testing::Test {
 protected:
  struct Row {
    float value;  ///< no other row has it
    std::string text;
  };

  MixedShapesTest() {
    FakeBackend& backend = world_.backend();
    backend.signature.inputs = {{"x", DataType::kFp32, {-1, -1}}, {"t", DataType::kBytes, {-1}}};
    backend.signature.outputs = {{"sum", DataType::kFp32, {-1}}, {"said", DataType::kBytes, {-1}}};
    backend.run = [this](int64_t, std::span<const TensorView> inputs,
                         std::vector<Tensor>& outputs) -> Status {
      const int64_t rows = inputs[0].shape[0], width = inputs[0].shape[1];
      if (inputs[1].shape[0] != rows) return InternalError("the inputs have different rows");
      if (rows > 1) ++together_;
      std::this_thread::sleep_for(200us);  // others come meanwhile
      const auto x = inputs[0].as<float>();
      const auto t = inputs[1].as<std::string_view>();
      for (int64_t i = 0; i < rows; ++i) {
        float sum = 0;
        for (int64_t j = 0; j < width; ++j) sum += x[static_cast<size_t>(i * width + j)];
        outputs[0].Push(sum);
        outputs[1].PushString(t[static_cast<size_t>(i)]);
      }
      outputs[0].shape() = {rows};
      outputs[1].shape() = {rows};
      return OkStatus();
    };
  }

  /// Numbers are whole in front and quarters behind: a sum says which value had how many beside it.
  Status Ask(PredictionCall& call, const std::vector<Row>& rows, int64_t width) {
    call.Reset();
    call.received = world_.clock.SteadyNow();
    EXPECT_TRUE(world_.predictor().Admit({.model = "m"}, call).ok());
    call.inputs.resize(2);
    call.inputs[0].Reset("x", DataType::kFp32);
    call.inputs[0].shape() = {static_cast<int64_t>(rows.size()), width};
    call.inputs[1].Reset("t", DataType::kBytes);
    call.inputs[1].shape() = {static_cast<int64_t>(rows.size())};
    for (const Row& row : rows) {
      call.inputs[0].Push(row.value);
      for (int64_t j = 1; j < width; ++j) call.inputs[0].Push(0.25f);
      call.inputs[1].PushString(row.text);
    }
    call.input_count = 2;
    call.rows = static_cast<uint32_t>(rows.size());
    std::promise<void> end;
    world_.predictor().Execute(call, [&end] { end.set_value(); });
    CHECK(end.get_future().wait_for(60s) == std::future_status::ready);
    if (call.status.ok()) {
      const auto sum = call.outputs[0].as<float>();
      const auto said = call.outputs[1].as<std::string_view>();
      EXPECT_EQ(sum.size(), rows.size());
      EXPECT_EQ(said.size(), rows.size());
      for (size_t i = 0; i < std::min(rows.size(), std::min(sum.size(), said.size())); ++i) {
        EXPECT_EQ(sum[i], rows[i].value + 0.25f * static_cast<float>(width - 1));
        EXPECT_EQ(said[i], rows[i].text);
      }
    }
    const Status status = call.status;
    world_.predictor().Finish(call, status, 1);
    return status;
  }

  void Stress(std::optional<double> pad) {
    ModelConfig& model = world_.AddModel("m", {1});
    model.execution = ExecutionMode::kAuto;
    model.instances = 2;
    model.batching.emplace();
    model.batching->max_batch_size = 8;
    model.batching->pad_ragged = pad;
    world_.Start();
    std::atomic<int> next{1}, ok{0};
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        Rng rng(t + 1);
        PredictionCall call;
        for (int i = 0; i < 100; ++i) {
          std::vector<Row> rows(1 + rng.Below(3));
          for (Row& row : rows) {
            row.value = static_cast<float>(next++);
            row.text = std::string(rng.Below(20), '\0') + std::to_string(next++);
          }
          if (Ask(call, rows, 1 + static_cast<int64_t>(rng.Below(3))).ok()) ++ok;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(ok, 800);
    EXPECT_GT(together_, 0);
  }

  std::atomic<int> together_{0};
  ServingWorld world_;
};

TEST_F(MixedShapesTest, RowsOfOtherLengthsAreInOtherBatches) { Stress(std::nullopt); }

TEST_F(MixedShapesTest, RowsOfOtherLengthsShareABatchWhereTheyMayBePadded) { Stress(0.0); }

}  // namespace
}  // namespace leadsman
