#include "rpc/tfs_warmup.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "backend/testing/fake_backend.h"
#include "base/strings.h"
#include "base/testing/fake_clock.h"
#include "base/testing/temp_dir.h"
#include "rpc/testing/proto_text.h"
#include "storage/testing/tf_record_writer.h"

namespace leadsman::rpc {
namespace {

/// A PredictionLog with the request in its field `type`; protocol buffers' text of tensorflow.serving.`message`.
std::string Log(uint32_t type, const std::string& message, const std::string& text) {
  std::string log;
  WireWriter out(log);
  out.Message(1, [](WireWriter& metadata) { metadata.Text(3, "serve"); });
  out.Message(type, [&](WireWriter& of_type) {
    of_type.Bytes(1, FromText("tensorflow.serving." + message, text));
  });
  return log;
}
std::string PredictLog(const std::string& text) { return Log(6, "PredictRequest", text); }

constexpr const char* kRow =
    "inputs { key: 'x' value { dtype: DT_FLOAT tensor_shape { dim { size: 2 } dim { size: 4 } } "
    "float_val: 7 } }";
constexpr const char* kExample =
    "input { example_list { examples { features { feature { key: 'x' value { float_list { value: "
    "[1, 2, 3, 4] } } } } } } }";

class TfsWarmupTest : public ::testing::Test {
 protected:
  TfsWarmupTest() {
    backend_.more_signatures = {{"other", kPredictMethod, backend_.signature}};
    backend_.run = [this](int64_t, std::span<const TensorView> inputs,
                          std::vector<Tensor>& outputs) -> Status {
      clock_.Advance(std::chrono::milliseconds(3));
      RETURN_IF_ERROR(fails_);
      const int64_t rows = inputs[0].shape[0];
      ran_ += StrCat(rows, " x ", inputs[0].as<float>()[0], "; ");
      outputs[0].shape() = {rows};
      outputs[1].shape() = {rows, 3};
      outputs[0].Extend(static_cast<size_t>(rows));
      outputs[1].Extend(static_cast<size_t>(rows) * 3);
      return OkStatus();
    };
    version_.model_name = "m";
    version_.version = 1;
    version_.config = config_;
    version_.model = std::move(backend_.Load({.model_name = "m", .version = 1})).value();
  }
  Status Replay(const std::vector<std::string>& logs) {
    std::string file;
    for (const std::string& log : logs) AppendTfRecord(file, log);
    return ReplayFile(file);
  }
  Status ReplayFile(const std::string& file) {
    std::filesystem::create_directories(dir_.path() / "assets.extra");
    dir_.Write(kWarmupFile, file);
    return ReplayFolder();
  }
  Status ReplayFolder() {
    ran_.clear();
    auto times = ReplayTfServingWarmup(version_, dir_.path().string(), cancel_, clock_);
    if (times.ok()) times_ = *times;
    return times.status();
  }
  std::string Path() { return dir_.file(kWarmupFile); }

  TempDir dir_;
  FakeClock clock_;
  std::atomic<bool> cancel_{false};
  std::shared_ptr<ModelConfig> config_ = std::make_shared<ModelConfig>();
  FakeBackend backend_;
  ServableVersion version_;
  Status fails_ = OkStatus();
  std::string ran_;
  std::vector<Duration> times_;
};

TEST_F(TfsWarmupTest, RunsRequestsOfEveryKind) {
  EXPECT_EQ(
      Replay({PredictLog(StrCat("model_spec { name: 'any' version { value: 9 } } ", kRow)),
              PredictLog(StrCat("model_spec { signature_name: 'other' } ", kRow)),
              Log(2, "ClassificationRequest", kExample), Log(3, "RegressionRequest", kExample),
              Log(4, "MultiInferenceRequest",
                  StrCat("tasks { method_name: 'tensorflow/serving/classify' } ", kExample)),
              std::string()}),
      OkStatus());
  EXPECT_EQ(ran_, "2 x 7; 2 x 7; 1 x 1; 1 x 1; 1 x 1; ");
  EXPECT_EQ(times_, std::vector<Duration>(5, std::chrono::milliseconds(3)));
  config_->warmup_repeats = 3;
  EXPECT_EQ(Replay({PredictLog(kRow)}), OkStatus());
  EXPECT_EQ(ran_, "2 x 7; 2 x 7; 2 x 7; ");
}

TEST_F(TfsWarmupTest, ThereMayBeNone) {
  EXPECT_EQ(ReplayFolder(), OkStatus());
  EXPECT_EQ(Replay({}), OkStatus());
  EXPECT_EQ(ran_, "");
  EXPECT_TRUE(times_.empty());
}

TEST_F(TfsWarmupTest, WhatIsWrongNamesTheFile) {
  std::string file;
  AppendTfRecord(file, PredictLog(kRow));
  file.back() ^= 1;
  Status corrupt = ReplayFile(file);
  EXPECT_EQ(corrupt.code(), StatusCode::kDataLoss);
  EXPECT_EQ(corrupt.message(),
            StrCat("warm-up requests: ", Path(),
                   ": the record at byte 0 is corrupt: the checksum of its data is wrong; is it an "
                   "uncompressed TFRecord file?"));

  auto wrong = [&](const std::string& log) {
    Status status = Replay({PredictLog(kRow), log});
    const std::string where = StrCat("warm-up request 2 of ", Path(), ": ");
    EXPECT_TRUE(status.message().starts_with(where)) << status;
    std::string text = status.ToString();
    size_t at = text.find(where);
    return at == std::string::npos ? text : text.erase(at, where.size());
  };
  EXPECT_EQ(wrong("\x0a\x05x"),
            "INVALID_ARGUMENT: malformed protocol buffer message: this is no "
            "tensorflow.serving.PredictionLog");
  EXPECT_EQ(
      wrong(Log(5, "PredictRequest", "")),
      "UNIMPLEMENTED: Unsupported log_type for warmup: session_run_log; there are predict_log, "
      "classify_log, regress_log and multi_inference_log");
  EXPECT_TRUE(wrong(PredictLog("model_spec { signature_name: 'no' }")).starts_with("NOT_FOUND: "));
  EXPECT_TRUE(wrong(PredictLog("")).find("Missing named input: x") != std::string::npos);
  fails_ = InternalError("it breaks");
  EXPECT_EQ(Replay({PredictLog(kRow)}).message(),
            StrCat("warm-up request 1 of ", Path(), ": it breaks"));
}

TEST_F(TfsWarmupTest, MoreThanAThousandAreAnError) {
  std::vector<std::string> logs(1000);
  EXPECT_EQ(Replay(logs), OkStatus());
  logs.emplace_back();
  EXPECT_EQ(Replay(logs).message(),
            StrCat("Number of warmup records exceeds the maximum (1000) at ", Path()));
  cancel_ = true;
  EXPECT_EQ(Replay(logs).code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace leadsman::rpc
