#include "lifecycle/triton_parameters.h"

#include <gtest/gtest.h>

namespace leadsman {
namespace {

using Map = std::map<std::string, std::string>;

TEST(TritonParametersTest, ThoseOfTritonsBackendsHaveOurNamesHere) {
  TritonParameters onnx = TranslateParameters({{"intra_op_thread_count", "4"},
                                               {"enable_mem_arena", "1"},
                                               {"enable_mem_pattern", "0"},
                                               {"session.load_model_format", "ONNX"},
                                               {"graph_optimization", "basic"}},
                                              "onnx");
  EXPECT_EQ(onnx.options, (Map{{"memory_arena", "true"},
                               {"memory_pattern", "false"},
                               {"session.load_model_format", "ONNX"},
                               {"graph_optimization", "basic"}}));
  EXPECT_EQ(onnx.intra_op_threads, 4);
  EXPECT_TRUE(onnx.without_effect.empty());

  TritonParameters tensorflow = TranslateParameters({{"TF_GRAPH_TAG", "serve,tpu"},
                                                     {"TF_NUM_INTRA_THREADS", "0"},
                                                     {"TF_NUM_INTER_THREADS", "2"},
                                                     {"TF_SIGNATURE_DEF", "scores"}},
                                                    "tensorflow");
  EXPECT_EQ(tensorflow.options, (Map{{"tags", "serve,tpu"}, {"inter_op_threads", "2"}}));
  EXPECT_EQ(tensorflow.intra_op_threads, std::nullopt);
  EXPECT_TRUE(tensorflow.without_effect.empty());
}

TEST(TritonParametersTest, WhatARuntimeDoesNotKnowIsNotGivenToIt) {
  TritonParameters onnx = TranslateParameters(
      {{"owner", "vision"}, {"enable_mem_arena", "yes"}, {"intra_op_thread_count", "all"}}, "onnx");
  EXPECT_TRUE(onnx.options.empty());
  EXPECT_EQ(onnx.without_effect,
            (std::vector<std::string>{"enable_mem_arena", "intra_op_thread_count", "owner"}));
  TritonParameters forest = TranslateParameters(
      {{"model_type", "xgboost"}, {"output_class", "true"}, {"output", "margin"}}, "xgboost");
  EXPECT_EQ(forest.options, (Map{{"output", "margin"}}));
  EXPECT_EQ(forest.without_effect, std::vector<std::string>{"output_class"});
}

TEST(TritonParametersTest, OtherFormatsGetAllOfThem) {
  EXPECT_EQ(TranslateParameters({{"option.path", "x"}}, "python").options,
            (Map{{"option.path", "x"}}));
}

}  // namespace
}  // namespace leadsman
