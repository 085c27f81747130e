#include "protocol/json_cursor.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <bit>
#include <cmath>

#include "base/rng.h"
#include "protocol/array_decoder.h"
#include "protocol/json_writer.h"

namespace leadsman {
namespace {

bool Accepts(std::string text) {
  size_t size = text.size();
  text.append(64, '7');
  JsonCursor json(std::string_view(text).substr(0, size));
  return json.Skip() && json.End();
}

bool SimdjsonAccepts(const std::string& text) {
  simdjson::dom::parser parser;
  auto result = parser.parse(text);
  return result.error() == simdjson::SUCCESS;
}

TEST(JsonCursorTest, TakesWhatSimdjsonTakesAndNothingElse) {
  for (
      std::string text :
      {R"({})",
       R"( { "a" : [ 1 , 2.5 , -3e+4, 0, -0, 0.0, 1E5, 1e-7 ] , "b" : { "c" : null , "d" : [ true , false ] } } )",
       R"({"a":"\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00"})",
       "{\"a\":\"ä😀\"}",
       "{\"a\":\"\xc3\"}",
       "{\"a\":\"\xff\"}",
       "{\"a\":\"\n\"}",
       R"({"a":"\x"})",
       R"({"a":"\u12"})",
       R"({"a":"\ud800"})",
       R"({"a":"\ude00"})",
       R"({"a":"\ud800\u0041"})",
       R"({"a":"})",
       R"({"a":01})",
       R"({"a":-})",
       R"({"a":1.})",
       R"({"a":.1})",
       R"({"a":+1})",
       R"({"a":1e})",
       R"({"a":1e+})",
       R"({"a":0x1})",
       R"({"a":tru})",
       R"({"a":truex})",
       R"({"a":nul})",
       R"({"a":1 2})",
       R"({"a":1,})",
       R"({"a":[1,]})",
       R"({"a":[,1]})",
       R"({"a":[1 2]})",
       R"({"a" 1})",
       R"({a:1})",
       R"({"a":1}})",
       R"({"a":1} {})",
       R"({"a":{}]})",
       R"({"a":[}})",
       R"({,})",
       R"({"a":1 "b":2})",
       R"({"a":'x'})",
       R"({"a":123456789012345678901234567890e-10})",
       R"({"a":"\u0000"})",
       "{\"a\":1}\n\t ",
       R"({"a":1}x})"}) {
    EXPECT_EQ(Accepts(text), SimdjsonAccepts(text)) << text;
  }
  EXPECT_TRUE(Accepts(R"({"a":[NaN,Infinity,-Infinity]})"));
  for (std::string text : {R"({"a":-NaN})", R"({"a":Nan})", R"({"a":Inf})", R"({"a":NaNs})",
                           R"([1])", R"()", R"(  )", R"(5)"}) {
    EXPECT_FALSE(Accepts(text)) << text;
  }
}

TEST(JsonCursorTest, ReadsNumbersExactlyRounded) {
  Rng rng(20260301);
  for (int i = 0; i < 200'000; ++i) {
    std::string number;
    if (i % 3 == 0) {
      double value = std::bit_cast<double>(rng());
      if (!std::isfinite(value)) continue;
      AppendFloat(number, value);
    } else {
      if (rng.Below(2)) number += '-';
      number += std::to_string(rng.Below(rng.Below(2) ? 10 : 1'000'000));
      if (rng.Below(4)) {
        number += '.';
        for (uint64_t d = rng.Below(18) + 1; d > 0; --d)
          number += static_cast<char>('0' + rng.Below(10));
      }
      if (rng.Below(4) == 0)
        number += "e" + std::to_string(static_cast<int64_t>(rng.Below(60)) - 30);
    }
    std::string text = "{\"a\":" + number + "}";
    JsonCursor json(text);
    double value = 0;
    ASSERT_TRUE(json.Object([&](std::string_view) { return json.Double(value); })) << text;
    ASSERT_EQ(std::bit_cast<uint64_t>(value),
              std::bit_cast<uint64_t>(std::strtod(number.c_str(), nullptr)))
        << text;
  }
}

TEST(JsonCursorTest, ReadsOutOfRangeNumbersAsInfinityOrZero) {
  for (auto [text, wanted] : {std::pair<std::string, double>{"1e400", INFINITY},
                              {"-1e400", -INFINITY},
                              {"1e-400", 0.0},
                              {std::string(400, '9'), INFINITY},
                              {"0." + std::string(400, '0') + "1", 0.0}}) {
    std::string body = "{\"a\":" + text + "}";
    JsonCursor json(body);
    double value = 1;
    ASSERT_TRUE(json.Object([&](std::string_view) { return json.Double(value); })) << json.error();
    EXPECT_EQ(value, wanted) << text;
  }
}

TEST(JsonWriterTest, FloatsReadBackToTheSameValue) {
  Rng rng(7);
  for (int i = 0; i < 100'000; ++i) {
    float value = std::bit_cast<float>(static_cast<uint32_t>(rng()));
    if (!std::isfinite(value)) continue;
    std::string text;
    AppendFloat(text, value);
    ASSERT_EQ(std::strtof(text.c_str(), nullptr), value) << text;
  }
  for (auto [value, wanted] : {std::pair<float, std::string>{1.0f, "1.0"},
                               {0.1f, "0.1"},
                               {-0.0f, "-0.0"},
                               {1e20f, "1e+20"},
                               {NAN, "NaN"},
                               {INFINITY, "Infinity"},
                               {-INFINITY, "-Infinity"},
                               {16777216.0f, "16777216.0"}}) {
    std::string text;
    AppendFloat(text, value);
    EXPECT_EQ(text, wanted);
  }
}

}  // namespace
}  // namespace leadsman
