#include "net/answer_head.h"

#include <gtest/gtest.h>

namespace leadsman::net {
namespace {

ParseState Parse(std::string_view text, AnswerHead& head, size_t limit = 4096) {
  AnswerHeadParser parser(limit);
  return parser.Feed(text, head);
}

TEST(AnswerHeadTest, ReadsWhatAProxyNeeds) {
  AnswerHead head;
  const std::string text =
      "HTTP/1.1 404 Nobody Here\r\nContent-Length: 12\r\nX-A: 1\r\nx-a: 2\r\n\r\nbody";
  ASSERT_EQ(Parse(text, head), ParseState::kDone);
  EXPECT_EQ(head.size, text.size() - 4);
  EXPECT_EQ(head.status, 404);
  EXPECT_EQ(head.reason, "Nobody Here");
  EXPECT_EQ(head.content_length, 12u);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.chunked);
  ASSERT_EQ(head.fields.size(), 3u);
  EXPECT_EQ(head.Header("X-a"), "1");
}

TEST(AnswerHeadTest, KnowsHowTheBodyEndsAndWhetherTheConnectionStays) {
  AnswerHead head;
  ASSERT_EQ(Parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", head),
            ParseState::kDone);
  EXPECT_TRUE(head.chunked);
  EXPECT_FALSE(head.content_length);
  ASSERT_EQ(Parse("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", head),
            ParseState::kDone);
  EXPECT_FALSE(head.keep_alive);
  ASSERT_EQ(Parse("HTTP/1.0 200 OK\r\n\r\n", head), ParseState::kDone);
  EXPECT_TRUE(head.http10);
  EXPECT_FALSE(head.keep_alive);
  EXPECT_FALSE(head.content_length) << "nothing is left of the answer before";
  ASSERT_EQ(Parse("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", head), ParseState::kDone);
  EXPECT_TRUE(head.interim());
  ASSERT_EQ(Parse("HTTP/1.1 204 \r\n\r\n", head), ParseState::kDone);
  EXPECT_EQ(head.reason, "");
}

TEST(AnswerHeadTest, TakesAHeadInPiecesOfAnySize) {
  const std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
  AnswerHeadParser parser(4096);
  AnswerHead head;
  for (size_t have = 0; have < text.size(); ++have)
    ASSERT_EQ(parser.Feed(std::string_view(text).substr(0, have), head), ParseState::kNeedMore);
  EXPECT_EQ(parser.Feed(text, head), ParseState::kDone);
}

TEST(AnswerHeadTest, RefusesWhatTwoPartiesCouldReadInTwoWays) {
  const std::string line = "HTTP/1.1 200 OK\r\n";
  for (const std::string& text : {
           std::string("not HTTP at all\r\n\r\n"),
           std::string("HTTP/2 200 OK\r\n\r\n"),
           std::string("HTTP/1.1 20 OK\r\n\r\n"),
           std::string("HTTP/1.1 200 OK\n\n"),
           line + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
           line + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           line + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
           line + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
           line + "Transfer-Encoding: gzip, chunked\r\n\r\n",
           std::string("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
           line + "Content-Length: -1\r\n\r\n",
           line + "Content-Length: 1 1\r\n\r\n",
           line + "A: 1\r\n folded\r\n\r\n",
           line + "A:\r\n folded\r\n\r\n",
           line + "A: 1\nB: 2\r\n\r\n",
           line + "A: 1\rB: 2\r\n\r\n",
           line + "A : 1\r\n\r\n",
           line + "no colon\r\n\r\n",
       }) {
    AnswerHead head;
    AnswerHeadParser parser(4096);
    EXPECT_EQ(parser.Feed(text, head), ParseState::kError) << text;
    EXPECT_FALSE(parser.error_message().empty()) << text;
  }
}

TEST(AnswerHeadTest, RefusesAHeadThatIsTooLarge) {
  AnswerHead head;
  EXPECT_EQ(Parse("HTTP/1.1 200 OK\r\nA: " + std::string(200, 'x'), head, 128), ParseState::kError);
}

}  // namespace
}  // namespace leadsman::net
