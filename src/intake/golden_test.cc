#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>

#include "base/strings.h"
#include "intake/line_reader.h"
#include "intake/testing/describe.h"
#include "support/test_paths.h"

// testdata/*.log came out of the real programs (testdata/README.md); beside each stands what is made of it. LEADSMAN_UPDATE=1
// intake_test rewrites those: read the difference.

namespace leadsman::intake {
namespace {

std::string Folder() { return SourceDir() + "/src/intake/testdata"; }

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string_view> Lines(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  return Split(text, '\n');
}

/// Where the format does not say it all.
FormatOptions OptionsOf(const std::string& name) {
  FormatOptions options;
  if (name == "apache_timed" || name == "gunicorn_timed") options.integer_latency = Unit::kMicros;
  if (name == "gunicorn_ms") options.integer_latency = Unit::kMillis;
  if (name == "envoy_json_own") options.fields = {{"latency_ms", "dur"}, {"grpc_status", "grpc"}};
  if (name == "python_json_logger")
    options.fields = {
        {"features", "features"}, {"predicted", "prediction"}, {"score", "probability"}};
  if (name == "nginx_main")  // nginx's own log_format as the pattern
    options.pattern =
        "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent "
        "\"$http_referer\" \"$http_user_agent\" \"$http_x_forwarded_for\"";
  if (name == "python_csv")
    options.fields = {{"time", "zeit"},         {"model", "modell"},
                      {"predicted", "klasse"},  {"latency_ms", "latenz_ms"},
                      {"label", "wahr"},        {"request_id", "id"},
                      {"features", "eingabe.*"}};
  if (name == "nginx_error") options.format = "access_log";  // both go to one place in a container
  return options;
}

std::string Read(const std::string& name) {
  std::string text = ReadAll(Folder() + "/" + name + ".log");
  std::vector<std::string_view> lines = Lines(text);
  std::vector<std::string_view> first = lines;
  std::string combined;
  if (name == "nginx_error") {
    combined = ReadAll(Folder() + "/nginx_combined.log");
    first = Lines(combined);
  }
  Result<Recognition> log = Recognise(first, OptionsOf(name));
  if (!log.ok()) return log.status().ToString() + "\n";
  std::string out = StrCat(log->format, ": ", log->Sentence(), "\n");
  LineReader reader(std::move(log->parser), log->envelope);
  DescribingSink sink;
  for (std::string_view line : lines) reader.Feed(line, sink);
  reader.Flush(sink);
  const LineReader::Counts& counts = reader.counts();
  return out + sink.text() +
         StrCat("lines=", counts.lines, " requests=", counts.requests, " errors=", counts.errors,
                " other=", counts.other, " malformed=", counts.malformed,
                " unreadable=", counts.unreadable, " joined=", reader.envelope_counts().joined,
                "\n");
}

TEST(GoldenTest, WhatRealProgramsWriteIsReadAsItStands) {
  bool update = std::getenv("LEADSMAN_UPDATE") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  size_t logs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(Folder())) {
    if (entry.path().extension() != ".log") continue;
    ++logs;
    std::string name = entry.path().stem().string();
    std::string got = Read(name);
    std::string path = Folder() + "/" + name + ".expected";
    if (update) std::ofstream(path, std::ios::binary) << got;
    EXPECT_EQ(ReadAll(path), got) << name;
  }
  EXPECT_GE(logs, 25u);
}

TEST(GoldenTest, EachFormatReadsEveryOtherOnesLinesWithoutHarm) {
  std::map<std::string, std::string> texts;
  for (const auto& entry : std::filesystem::directory_iterator(Folder()))
    if (entry.path().extension() == ".log")
      texts[entry.path().stem().string()] = ReadAll(entry.path());
  DescribingSink sink;
  for (const LogFormat& format : LogFormats()) {
    FormatOptions options;
    options.format = format.name;
    options.pattern = "$client [$time] \"$request\" $status";
    for (const auto& [learned, first] : texts) {
      Result<std::unique_ptr<LineParser>> parser = format.make(Lines(first), options);
      if (format.name == "csv" && !parser.ok()) continue;  // no header
      ASSERT_TRUE(parser.ok()) << parser.status();
      if (!*parser) continue;
      LineReader reader(std::move(*parser), EnvelopeKind::kCri);
      for (const auto& [name, text] : texts)
        for (std::string_view line : Lines(text)) reader.Feed(line, sink);
      reader.Flush(sink);
    }
  }
}

/// One to four slips of a hand or a disk.
std::string Damaged(std::string line, std::mt19937& random) {
  auto below = [&](size_t limit) { return limit == 0 ? 0 : random() % limit; };
  for (size_t slips = 1 + below(4); slips > 0; --slips) {
    size_t at = below(line.size() + 1);
    switch (below(5)) {
      case 0:
        line.resize(at);
        break;
      case 1:
        line.insert(at, 1, static_cast<char>(below(256)));
        break;
      case 2:
        if (at < line.size())
          line[at] =
              "\"\\[]{}:, =-$\x1b\xff"
              "0"[below(16)];
        break;
      case 3:
        line.erase(at, below(20));
        break;
      default:
        line += line.substr(at);
        break;
    }
  }
  return line;
}

TEST(GoldenTest, DamagedLinesHarmNothingAndInventNothing) {
  class Checks final : public RecordSink {
   public:
    void OnRequest(const LogRecord& record) override {
      EXPECT_GE(record.latency_ns.value_or(0), 0);
      EXPECT_GE(record.upstream_latency_ns.value_or(0), 0);
      EXPECT_GE(record.unix_ns.value_or(0), 0);
      EXPECT_LE(record.status.value_or(0), 999);
      EXPECT_TRUE(record.target.starts_with(record.path));
      size_ += Describe(record).size();  // reads all that it points to
    }
    void OnError(const ErrorEvent& event) override { size_ += Describe(event).size(); }

   private:
    size_t size_ = 0;
  };
  for (const auto& entry : std::filesystem::directory_iterator(Folder())) {
    if (entry.path().extension() != ".log") continue;
    std::string name = entry.path().stem().string();
    std::string text = ReadAll(entry.path().string());
    std::mt19937 random(20261128);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same lines each time
    std::vector<std::string> damaged;
    for (int round = 0; round < 10; ++round)
      for (std::string_view line : Lines(text))
        damaged.push_back(Damaged(std::string(line), random));
    std::vector<std::string_view> lines(damaged.begin(), damaged.end());
    (void)Recognise(lines, OptionsOf(name));
    FormatOptions options = OptionsOf(name);
    if (name == "nginx_error") continue;
    Result<Recognition> log = Recognise(Lines(text), options);
    ASSERT_TRUE(log.ok()) << name << log.status();
    LineReader reader(std::move(log->parser), log->envelope);
    Checks checks;
    for (std::string_view line : lines) reader.Feed(line, checks);
    reader.Flush(checks);
    EXPECT_EQ(reader.counts().lines, lines.size());
  }
}

/// What was read by a known layout points into the line, what the JSON library has read into its own copy.
bool PointsInto(std::string_view line, const LogRecord& record) {
  for (std::string_view text : {record.target, record.method, record.predicted, record.request_id,
                                record.message, record.client}) {
    if (!text.empty()) return text.data() >= line.data() && text.data() < line.data() + line.size();
  }
  return false;
}

/// A parser may keep how lines are laid out; what it makes of one must not depend on it.
TEST(GoldenTest, AJsonLineIsReadTheSameWhateverWasReadBefore) {
  size_t logs = 0, logs_by_layout = 0, all = 0, all_by_layout = 0;
  for (const auto& entry : std::filesystem::directory_iterator(Folder())) {
    if (entry.path().extension() != ".log") continue;
    const std::string name = entry.path().stem().string();
    const std::string text = ReadAll(entry.path().string());
    if (!text.starts_with('{')) continue;
    FormatOptions options = OptionsOf(name);
    options.format = "json";
    const std::vector<std::string_view> lines = Lines(text);
    auto used = FindLogFormat("json")->make(lines, options);
    auto anew = FindLogFormat("json")->make(lines, options);
    ASSERT_TRUE(used.ok() && anew.ok()) << name;
    ++logs;
    std::mt19937 random(20261129);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same lines each time
    LogRecord a, b;
    size_t whole = 0, by_layout = 0;
    auto check = [&](std::string_view line) {
      (*anew)->Restart();
      const Verdict verdict = (*anew)->Parse(line, b);
      EXPECT_EQ((*used)->Parse(line, a), verdict) << line;
      EXPECT_EQ(Describe(a), Describe(b)) << line;
      EXPECT_EQ(a.unreadable, b.unreadable) << line;
      EXPECT_FALSE(verdict == Verdict::kRequest && PointsInto(line, b)) << line;
      return PointsInto(line, a);
    };
    for (int round = 0; round < 20; ++round) {
      for (std::string_view line : lines) {
        ++whole;
        by_layout += check(line);
        check(Damaged(std::string(line), random));
      }
    }
    if (by_layout > 0) ++logs_by_layout;
    all += whole;
    all_by_layout += by_layout;
  }
  EXPECT_GE(logs, 5u);
  // SageMaker's lines hold JSON in texts, for which there is no layout.
  EXPECT_GE(logs_by_layout, logs - 1);
  EXPECT_GE(2 * all_by_layout, all) << "both were read in one way";
}

}  // namespace
}  // namespace leadsman::intake
