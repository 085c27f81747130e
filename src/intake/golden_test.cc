#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

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
      ASSERT_TRUE(parser.ok()) << parser.status();
      if (!*parser) continue;
      LineReader reader(std::move(*parser), EnvelopeKind::kCri);
      for (const auto& [name, text] : texts)
        for (std::string_view line : Lines(text)) reader.Feed(line, sink);
      reader.Flush(sink);
    }
  }
}

}  // namespace
}  // namespace leadsman::intake
