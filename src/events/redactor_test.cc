#include "events/redactor.h"

#include <gtest/gtest.h>

#include <fstream>

namespace leadsman {
namespace {

class RedactorTest : public ::testing::Test {
 protected:
  std::string KeyFile(const std::string& key) {
    std::string path = ::testing::TempDir() + "/redactor_test.key";
    std::ofstream(path) << key << '\n';
    return path;
  }
  static RedactRule Rule(RedactRule::Of of, RedactRule::Do action) {
    RedactRule rule;
    rule.field = of;
    rule.action = action;
    return rule;
  }
  static std::string Apply(const Redactor& redactor, RequestText of, std::string_view text) {
    std::string scratch;
    return std::string(redactor.Apply(of, text, scratch));
  }
};

TEST_F(RedactorTest, DropsCutsAndReplacesTheFieldsItIsToldOf) {
  RedactRule mails = Rule(RedactRule::Of::kAll, RedactRule::Do::kReplace);
  mails.pattern = R"([\w.]+@([\w.]+))";
  mails.with = R"(<mail at \1>)";
  RedactRule cut = Rule(RedactRule::Of::kRequestId, RedactRule::Do::kTruncate);
  cut.length = 14;
  auto made = Redactor::Create({mails, cut, Rule(RedactRule::Of::kLogLine, RedactRule::Do::kDrop)});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(Apply(**made, RequestText::kRequestId, "ann@example.org-17"), "<mail at examp");
  EXPECT_EQ(Apply(**made, RequestText::kPath, "/of/a.b@c.de/and/x@y"),
            "/of/<mail at c.de>/and/<mail at y>");
  EXPECT_EQ(Apply(**made, RequestText::kLogLine, "anything"), "");
  EXPECT_EQ(Apply(**made, RequestText::kClass, "cat"), "cat");
  EXPECT_EQ(Apply(**made, RequestText::kClass, ""), "");
}

TEST_F(RedactorTest, InputsOfAllRulesAreDroppedAndTextsStay) {
  RedactRule income = Rule(RedactRule::Of::kInput, RedactRule::Do::kDrop);
  income.inputs = {"income"};
  RedactRule place = income;
  place.inputs = {"[3]"};
  auto made = Redactor::Create({income, place});
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE((*made)->empty());
  EXPECT_EQ(Apply(**made, RequestText::kClass, "income"), "income");
  EXPECT_TRUE((*made)->dropped_inputs()->Has("income"));
  EXPECT_TRUE((*made)->dropped_inputs()->HasPlace(3));
  auto all = Redactor::Create({Rule(RedactRule::Of::kAll, RedactRule::Do::kDrop)});
  EXPECT_TRUE((*all)->dropped_inputs()->empty()) << "all is all texts";
}

TEST_F(RedactorTest, AHashIsTheSameForTheSameTextAndKeyAlone) {
  RedactRule hash = Rule(RedactRule::Of::kAll, RedactRule::Do::kHash);
  hash.key_file = KeyFile("0123456789abcdef");
  auto made = Redactor::Create({hash});
  ASSERT_TRUE(made.ok()) << made.status();
  // printf r-17 | openssl dgst -sha256 -hmac 0123456789abcdef
  EXPECT_EQ(Apply(**made, RequestText::kRequestId, "r-17"), "fc592745f12f3a365f9f8c0a9cde9962");
  EXPECT_NE(Apply(**made, RequestText::kRequestId, "r-18"),
            Apply(**made, RequestText::kRequestId, "r-17"));
  EXPECT_EQ(Apply(**made, RequestText::kClass, "7.0"), Apply(**made, RequestText::kClass, "7"));
  EXPECT_NE(Apply(**made, RequestText::kClass, "7.5"), Apply(**made, RequestText::kClass, "7"));
  hash.key_file = KeyFile("fedcba9876543210");
  auto other = Redactor::Create({hash});
  ASSERT_TRUE(other.ok());
  EXPECT_NE(Apply(**other, RequestText::kRequestId, "r-17"),
            Apply(**made, RequestText::kRequestId, "r-17"));
}

TEST_F(RedactorTest, SaysWhichRuleIsWrong) {
  RedactRule hash = Rule(RedactRule::Of::kAll, RedactRule::Do::kHash);
  hash.key_file = KeyFile("short");
  EXPECT_NE(Redactor::Create({hash}).status().message().find(
                "monitor.redact[0].key_file: " + hash.key_file + " has 5 bytes"),
            std::string::npos);
  hash.key_file = ::testing::TempDir() + "/absent.key";
  EXPECT_FALSE(Redactor::Create({hash}).ok());
  RedactRule look_behind = Rule(RedactRule::Of::kAll, RedactRule::Do::kReplace);
  look_behind.pattern = "(?<=x)y";
  EXPECT_NE(Redactor::Create({look_behind}).status().message().find("monitor.redact[0].pattern: "),
            std::string::npos);
}

}  // namespace
}  // namespace leadsman
