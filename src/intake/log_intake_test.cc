#include "intake/log_intake.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/strings.h"
#include "base/testing/temp_dir.h"
#include "intake/read_once.h"
#include "intake/testing/recording_sink.h"
#include "intake/testing/rotated_files.h"

namespace leadsman::intake {
namespace {

using namespace std::chrono_literals;

std::string Line(int i) {
  return StrCat(
      R"(10.0.0.7 - - [28/Nov/2026:22:11:17 +0000] "POST /v1/models/digits:predict HTTP/1.1" 200 )",
      i, R"( "-" "curl/7.88.1")", "\n");
}
std::string Lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += Line(i);
  return text;
}

/// Real time: the follower looks at files once a second.
class LogIntakeTest : public ::testing::Test {
 protected:
  void Open(LogSource source = {}) {
    if (source.path.empty()) source.path = log_;
    auto made =
        LogIntake::Create({SystemClock(), sink_, registry_, [this] { return !unsafe_.load(); }},
                          {{source}, dir_.path()});
    ASSERT_TRUE(made.ok()) << made.status();
    intake_ = std::move(*made);
    intake_->Start();
    Await([&] { return intake_->looked(); });
  }
  template <typename Condition>
  void Await(Condition condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) std::this_thread::sleep_for(10ms);
    ASSERT_TRUE(condition());
  }
  double Metric(const std::string& name, const std::vector<std::string>& labels) {
    for (const auto& family : registry_.Collect())
      for (const auto& sample : family.samples)
        if (family.description->name == name && sample.label_values == labels) return sample.value;
    return -1;
  }

  TempDir dir_;
  const std::string log_ = dir_.file("access.log");
  Registry registry_;
  EventTexts sink_;
  std::atomic<bool> unsafe_{false};
  std::unique_ptr<LogIntake> intake_;
};

TEST_F(LogIntakeTest, FollowsRecognisesAndGoesOnAfterARestart) {
  Append(log_, Lines(10));
  Open();  // from the end: what is there only helps to recognise
  EXPECT_EQ(intake_->views()[0].files.at(0).format, "access_log");
  Append(log_, Lines(3));
  Await([&] { return sink_.count() == 3; });
  EXPECT_EQ(sink_.texts()[0], "digits:0 OK tfserving_rest");
  EXPECT_EQ(Metric("leadsman_intake_requests_total", {log_, "prediction"}), 3);
  intake_->Stop();
  Append(log_, Lines(2));
  Open();
  Await([&] { return sink_.count() == 5; });
}

TEST_F(LogIntakeTest, TheLastLinesAreReadAtTheEndThoughTheyWait) {
  Open();
  Append(log_, Lines(1));  // too few to be recognised at once
  Await([&] { return intake_->views()[0].lines == 1; });
  intake_->Stop();
  EXPECT_EQ(sink_.count(), 1u);
}

TEST_F(LogIntakeTest, PositionsNeverPassWhatIsNotSafe) {
  LogSource source;
  source.path = log_;
  source.from = LogSource::From::kBeginning;
  Append(log_, Lines(100));
  unsafe_ = true;
  Open(source);
  Await([&] { return sink_.count() == 100; });
  intake_->Stop();
  unsafe_ = false;
  Open(source);
  Await([&] { return sink_.count() == 200; });  // once more: nothing had said that they were kept
}

TEST_F(LogIntakeTest, WhatIsNoKnownLogIsSaidAndReadOnceItIs) {
  Append(log_, "to be\nor not to be\n");
  Open();
  EXPECT_EQ(intake_->views()[0].files.at(0).format, "");
  Append(log_, "that is the question\n");
  Await([&] { return intake_->views()[0].unrecognised == 1; });
  Append(log_, Lines(200));
  Await([&] { return sink_.count() == 200; });
  EXPECT_EQ(intake_->views()[0].files.at(0).format, "access_log");
}

TEST_F(LogIntakeTest, ALogThatIsWrittenInAnotherFormatIsRecognisedAnew) {
  Append(log_, Lines(10));
  Open();
  std::string text = Lines(64);
  for (int i = 0; i < 2000; ++i)
    text += R"({"path":"/predict","method":"POST","status":500,"latency_ms":3})"
            "\n";
  Append(log_, text);
  Await([&] { return sink_.count() == 2064 && intake_->views()[0].files.at(0).format == "json"; });
  EXPECT_EQ(intake_->views()[0].malformed, 0u) << "each line is one thing";
  EXPECT_EQ(sink_.texts().back(), "default:0 INTERNAL plain 3000us");
}

TEST_F(LogIntakeTest, WhatCameBeforeAnotherFormatInOneBatchIsCounted) {
  std::string text = Lines(100) + "10.0.0.7 - - [28/Nov/2026:22:11:17\n" + Lines(1);
  for (int i = 0; i < 200; ++i)
    text += R"({"path":"/predict","method":"POST","status":500,"latency_ms":3})"
            "\n";
  Append(log_, text);
  LogSource source;
  source.path = log_;
  auto views = ReadOnce({source}, SystemClock(), sink_);
  EXPECT_EQ(views[0].predictions, 301u);
  EXPECT_EQ(views[0].malformed, 1u);
}

TEST_F(LogIntakeTest, ALineOfMegabytesIsCutAndSaysNothingOfTheFormat) {
  const std::string huge(10'000'000, 'x');
  for (int before : {0, 10, 100}) {
    const std::string log = dir_.file(StrCat("big-", before, ".log"));
    Append(log, Lines(before) + huge + "\n" + Lines(200 - before));
    LogSource source;
    source.path = log;
    auto views = ReadOnce({source}, SystemClock(), sink_);
    EXPECT_EQ(views[0].predictions, 200u) << before;
    EXPECT_EQ(views[0].malformed, 1u) << before;
    EXPECT_EQ(views[0].unrecognised, 0u) << before;
    ASSERT_EQ(views[0].files.size(), 1u);
    EXPECT_EQ(views[0].files[0].format, "access_log") << before << views[0].files[0].sentence;
  }
}

TEST_F(LogIntakeTest, ALineThatBreaksOffAtTheEndIsNoOtherFormat) {
  Append(log_, Lines(200) + "10.0.0.7 - - [28/Nov/2026:22:1");
  LogSource source;
  source.path = log_;
  EXPECT_EQ(ReadOnce({source}, SystemClock(), sink_)[0].files.at(0).format, "access_log");
}

TEST_F(LogIntakeTest, MissingLabelsOfACaptureFileAreNone) {
  std::string text;
  for (const char* label : {"1", "NaN", R"("NaN")", R"("NA")", "null", R"("")"})
    text += StrCat(R"({"x":1,"prediction":1,"label":)", label, "}\n");
  Append(log_, text);
  LogSource source;
  source.path = log_;
  ReadOnce({source}, SystemClock(), sink_);
  ASSERT_EQ(sink_.count(), 6u);
  int labelled = 0;
  for (const std::string& event : sink_.texts())
    labelled += event.find("label=") != std::string::npos;
  EXPECT_EQ(labelled, 1) << Join(sink_.texts(), "\n");
}

TEST_F(LogIntakeTest, OnceReadsToTheEndArchivesToo) {
  Append(log_, Lines(100) + "no newline at the end");
  Gzip(log_, log_ + ".1.gz");
  LogSource source;
  source.path = log_ + "*";
  auto views = ReadOnce({source}, SystemClock(), sink_);
  ASSERT_EQ(views.size(), 1u);
  EXPECT_EQ(views[0].lines, 202u);
  EXPECT_EQ(views[0].predictions, 200u);
  EXPECT_EQ(views[0].files.size(), 2u);
  std::filesystem::resize_file(log_ + ".1.gz", 60);
  source.path = log_ + ".1.gz";
  views = ReadOnce({source}, SystemClock(), sink_);
  ASSERT_EQ(views[0].files.size(), 1u);
  EXPECT_EQ(views[0].files[0].format, "");
  EXPECT_NE(views[0].files[0].sentence.find("is cut off"), std::string::npos);
  source.path = dir_.file("absent");
  EXPECT_TRUE(ReadOnce({source}, SystemClock(), sink_)[0].files.empty());
}

}  // namespace
}  // namespace leadsman::intake
