#include "intake/envelope.h"

#include <gtest/gtest.h>

namespace leadsman::intake {
namespace {

using Stream = Envelope::Stream;

TEST(EnvelopeTest, OpensCri) {
  Envelope envelope(EnvelopeKind::kCri);
  auto line = envelope.Feed("2016-10-06T00:17:09.669794202Z stderr F log content 1");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->content, "log content 1");
  EXPECT_EQ(line->unix_ns, 1475713029669794202);
  EXPECT_EQ(line->stream, Stream::kStderr);
  line = envelope.Feed("2016-10-06T00:17:10.5+02:00 stdout F:more:tags ");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->content, "");
  EXPECT_EQ(line->unix_ns, 1475705830500000000);
}

TEST(EnvelopeTest, JoinsPiecesOfEachStreamByItself) {
  Envelope envelope(EnvelopeKind::kCri);
  EXPECT_FALSE(envelope.Feed("2016-10-06T00:17:09.1Z stdout P one "));
  EXPECT_FALSE(envelope.Feed("2016-10-06T00:17:09.2Z stderr P err "));
  EXPECT_FALSE(envelope.Feed("2016-10-06T00:17:09.3Z stdout P two "));
  auto line = envelope.Feed("2016-10-06T00:17:09.4Z stdout F three");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->content, "one two three");
  EXPECT_EQ(line->unix_ns, 1475713029400000000);
  line = envelope.Feed("2016-10-06T00:17:09.5Z stderr F or");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->content, "err or");
  EXPECT_EQ(envelope.counts().joined, 2u);
  line = envelope.Feed("2016-10-06T00:17:09.6Z stdout F next");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->content, "next");
}

TEST(EnvelopeTest, OpensDockerAndJoinsUntilTheNewline) {
  Envelope envelope(EnvelopeKind::kDocker);
  auto line = envelope.Feed(
      R"({"log":"{\"status\":200} \u003ctab\u003e\t\n","stream":"stderr","attrs":{"app":"a"},"time":"2019-01-01T11:11:11.111111111Z"})");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->content, "{\"status\":200} <tab>\t");
  EXPECT_EQ(line->stream, Stream::kStderr);
  EXPECT_EQ(line->unix_ns, 1546341071111111111);
  EXPECT_FALSE(
      envelope.Feed(R"({"log":"one ","stream":"stdout","time":"2019-01-01T11:11:11.1Z"})"));
  line = envelope.Feed(R"({"log":"two\n","stream":"stdout","time":"2019-01-01T11:11:12Z"})");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->content, "one two");
}

TEST(EnvelopeTest, ALineWithoutEndIsBoundedAndCounted) {
  Envelope envelope(EnvelopeKind::kCri, 100);
  std::string piece = "2016-10-06T00:17:09.1Z stdout P " + std::string(60, 'x');
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(envelope.Feed(piece));
  auto line = envelope.Feed("2016-10-06T00:17:09.1Z stdout F end");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->content.size(), 100u);
  EXPECT_TRUE(line->cut);
  EXPECT_EQ(envelope.counts().cut, 1u);
  line = envelope.Feed("2016-10-06T00:17:09.1Z stdout F short");
  ASSERT_TRUE(line);
  EXPECT_FALSE(line->cut);
  EXPECT_EQ(line->content, "short");
}

TEST(EnvelopeTest, FlushGivesWhatHasNoEnd) {
  Envelope envelope(EnvelopeKind::kDocker);
  EXPECT_FALSE(envelope.Flush(Stream::kStdout));
  EXPECT_FALSE(
      envelope.Feed(R"({"log":"no newline","stream":"stdout","time":"2019-01-01T11:11:11Z"})"));
  auto line = envelope.Flush(Stream::kStdout);
  ASSERT_TRUE(line);
  EXPECT_EQ(line->content, "no newline");
  EXPECT_FALSE(envelope.Flush(Stream::kStdout));
}

TEST(EnvelopeTest, WhatIsInNoEnvelopeIsPassedOnAndCounted) {
  Envelope cri(EnvelopeKind::kCri);
  for (std::string_view raw :
       {"", "x", "2016-10-06T00:17:09.6Z", "2016-10-06T00:17:09.669794202Z stdin F a",
        "2016-10-06T00:17:09.669794202Z stdout X abc"}) {
    auto line = cri.Feed(raw);
    ASSERT_TRUE(line);
    EXPECT_EQ(line->content, raw);
    EXPECT_FALSE(line->unix_ns);
  }
  EXPECT_EQ(cri.counts().malformed, 5u);
  Envelope docker(EnvelopeKind::kDocker);
  for (std::string_view raw :
       {R"({"log":"half)", R"({"log":5,"stream":"stdout","time":"2019-01-01T11:11:11Z"})",
        R"({"stream":"stdout","time":"2019-01-01T11:11:11Z"})", "{}", "[]", "\xff\xfe"})
    EXPECT_EQ(docker.Feed(raw)->content, raw);
  EXPECT_EQ(docker.counts().malformed, 6u);
}

TEST(EnvelopeTest, TellsWhichOneALineIsIn) {
  EXPECT_EQ(EnvelopeOf("2016-10-06T00:17:09.669794202Z stdout F a"), EnvelopeKind::kCri);
  EXPECT_EQ(EnvelopeOf(R"({"log":"a\n","stream":"stdout","time":"2019-01-01T11:11:11.1Z"})"),
            EnvelopeKind::kDocker);
  EXPECT_EQ(EnvelopeOf(R"({"log":"a","level":"info"})"), EnvelopeKind::kNone);
  EXPECT_EQ(EnvelopeOf("2016-10-06T00:17:09.669794202Z a line of some program"),
            EnvelopeKind::kNone);
}

}  // namespace
}  // namespace leadsman::intake
