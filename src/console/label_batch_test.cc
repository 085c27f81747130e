#include "console/label_batch.h"

#include <gtest/gtest.h>

namespace leadsman::console {
namespace {

std::vector<std::string> Problems(std::string_view body) {
  std::vector<std::string> details;
  auto labels = ParseLabels(body, 1, details);
  EXPECT_FALSE(labels.ok());
  if (details.empty() && !labels.ok()) details.emplace_back(labels.status().message());
  return details;
}

TEST(LabelBatchTest, TakesTextsNumbersAndBooleans) {
  std::vector<std::string> details;
  auto labels = ParseLabels(
      R"({"labels": [{"request_id": "a", "label": "cat"}, {"request_id": "b", "label": 7, "row": 3},
                               {"request_id": "c", "label": true}, {"request_id": "d", "label": -2},
                               {"request_id": "e", "label": 7.0}, {"request_id": "f", "label": 0.5}]})",
      42, details);
  ASSERT_TRUE(labels.ok()) << labels.status();
  ASSERT_EQ(labels->size(), 6u);
  EXPECT_EQ((*labels)[0].label, "cat");
  EXPECT_EQ((*labels)[1].label, "7");
  EXPECT_EQ((*labels)[1].row, 3u);
  EXPECT_EQ((*labels)[2].label, "true");
  EXPECT_EQ((*labels)[3].label, "-2");
  EXPECT_EQ((*labels)[4].label, "7");
  EXPECT_EQ((*labels)[5].label, "0.5");
  EXPECT_EQ((*labels)[5].unix_ms, 42);
}

TEST(LabelBatchTest, TakesOneObjectWithoutAList) {
  std::vector<std::string> details;
  auto labels = ParseLabels(R"({"request_id": "a", "label": 1})", 1, details);
  ASSERT_TRUE(labels.ok());
  EXPECT_EQ(labels->size(), 1u);
}

TEST(LabelBatchTest, NamesEveryWrongEntryAndField) {
  EXPECT_EQ(
      Problems(R"({"labels": [{"request_id": "a", "label": 1}, {"request_id": 5, "label": null}, 7,
                        {"request_id": "", "label": "x", "row": -1}, {"requestid": "a", "label": 1}]})"),
      (std::vector<std::string>{"labels[1].label: must be a text, a number or a boolean",
                                "labels[1].request_id: must be a text",
                                "labels[2]: must be an object with request_id and label",
                                "labels[3].request_id: must have 1 to 255 bytes",
                                "labels[3].row: must be a whole number from 0 to 15: which row of "
                                "the request; later rows "
                                "are not kept for labels",
                                "labels[4].requestid: unknown key; did you mean request_id?",
                                "labels[4].request_id: is missing"}));
}

TEST(LabelBatchTest, RefusesForGoodWhatTheMonitorCouldNotKeep) {
  EXPECT_EQ(Problems(R"({"request_id": "a", "label": 1, "row": 16})").size(), 1u);
  std::string text(256, 'x');
  EXPECT_EQ(Problems(R"({"request_id": ")" + text + R"(", "label": 1})").size(), 1u);
  EXPECT_EQ(Problems(R"({"request_id": "a", "label": ")" + text + R"("})").size(), 1u);
}

TEST(LabelBatchTest, RefusesWhatIsNoBatch) {
  EXPECT_NE(Problems("{").at(0).find("not valid JSON"), std::string::npos);
  EXPECT_NE(Problems("[1]").at(0).find("must be an object"), std::string::npos);
  EXPECT_NE(Problems(R"({"labels": {}})").at(0).find("must be a list"), std::string::npos);
  EXPECT_NE(Problems(std::string(100'000, '[')).at(0).find("JSON"), std::string::npos);
  std::string many = R"({"labels": [0)";
  for (int i = 0; i < 10'000; ++i) many += ",0";
  EXPECT_EQ(Problems(many + "]}").at(0), "labels: 10001 entries; at most 10000 a call");
}

}  // namespace
}  // namespace leadsman::console
