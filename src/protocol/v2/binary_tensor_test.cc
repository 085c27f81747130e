#include "protocol/v2/binary_tensor.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/strings.h"

namespace leadsman::v2 {
namespace {

using namespace std::string_view_literals;
using enum DataType;

TensorSpec Spec(DataType type, Shape shape) { return {"x", type, shape}; }

TEST(BinaryTensorTest, EveryFixedSizeTypeComesBackAsItWentWhereverTheBytesStand) {
  for (DataType type : {kBool, kUint8, kUint16, kUint32, kUint64, kInt8, kInt16, kInt32, kInt64,
                        kFp16, kBf16, kFp32, kFp64}) {
    size_t size = 6 * ElementSize(type);
    for (size_t offset = 0; offset < 8; ++offset) {
      std::string body(offset, '\xAA');
      for (size_t i = 0; i < size; ++i)
        body += type == kBool ? static_cast<char>(i % 2) : static_cast<char>(i * 37 + 200);
      std::string_view bytes = std::string_view(body).substr(offset);
      Tensor tensor;
      Status read = ReadBinary(Spec(type, {-1, 3}), {2, 3}, bytes, tensor);
      ASSERT_TRUE(read.ok()) << read;
      TensorView view = tensor.View();
      EXPECT_EQ(view.element_count, 6);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data) % ElementSize(type), 0u);
      EXPECT_EQ(*BinarySize(view), size);
      std::string out;
      AppendBinary(out, view);
      EXPECT_EQ(out, bytes) << DataTypeName(type);
    }
  }
}

TEST(BinaryTensorTest, ReadsLittleEndian) {
  Tensor tensor;
  ASSERT_TRUE(ReadBinary(Spec(kFp32, {-1}), {2}, "\0\0\x80\x3f\0\0\0\xc0"sv, tensor).ok());
  EXPECT_EQ(tensor.View().as<float>()[0], 1.0f);
  EXPECT_EQ(tensor.View().as<float>()[1], -2.0f);
  ASSERT_TRUE(ReadBinary(Spec(kInt16, {-1}), {1}, "\x02\x01"sv, tensor).ok());
  EXPECT_EQ(tensor.View().as<int16_t>()[0], 0x0102);
}

TEST(BinaryTensorTest, StringsCarryTheirLengthsAndAnyBytes) {
  constexpr std::string_view kWire = "\3\0\0\0a\0b\0\0\0\0\2\0\0\0\xff\xfe"sv;
  Tensor tensor;
  Status read = ReadBinary(Spec(DataType::kBytes, {-1}), {3}, kWire, tensor);
  ASSERT_TRUE(read.ok()) << read;
  auto texts = tensor.View().as<std::string_view>();
  EXPECT_EQ(texts[0], "a\0b"sv);
  EXPECT_EQ(texts[1], "");
  EXPECT_EQ(texts[2], "\xff\xfe");
  EXPECT_EQ(*BinarySize(tensor.View()), kWire.size());
  std::string out = "{}";
  AppendBinary(out, tensor.View());
  EXPECT_EQ(out, StrCat("{}", kWire));
}

TEST(BinaryTensorTest, AnEmptyTensorIsNoBytes) {
  for (DataType type : {kFp32, DataType::kBytes, kBool}) {
    Tensor tensor;
    ASSERT_TRUE(ReadBinary(Spec(type, {-1, 4}), {0, 4}, "", tensor).ok());
    EXPECT_EQ(tensor.View().element_count, 0);
    EXPECT_EQ(tensor.shape(), (Shape{0, 4}));
    EXPECT_EQ(*BinarySize(tensor.View()), 0u);
    std::string out;
    AppendBinary(out, tensor.View());
    EXPECT_EQ(out, "");
  }
}

TEST(BinaryTensorTest, RefusesSizesThatDoNotFitTheShapeAndNamesTheInput) {
  struct Case {
    DataType type;
    Shape shape;
    std::string_view bytes;
    std::string_view says;
  } cases[] = {
      {kFp32, {1, 2}, "1234567", "holds 2 elements of 4 bytes, but its binary data has 7 bytes"},
      {kFp32, {1, 2}, "123456789", "has 9 bytes"},
      {kFp32, {1, 2}, "", "has 0 bytes"},
      {kFp64, {INT64_MAX / 8 + 1}, "", "has 0 bytes"},  // 2^63 bytes
      {kFp64, {INT64_MAX}, "12345678", "has 8 bytes"},
      {kFp32, {INT64_MAX, 2}, "", "too large"},
      {kBool, {3}, "\0\1\2"sv, "byte 2 of its binary data is neither 0 nor 1"},
      {DataType::kBytes, {1}, "", "end within element 0"},
      {DataType::kBytes, {1}, "\1\0\0", "end within element 0"},
      {DataType::kBytes, {1}, "\1\0\0\0"sv, "end within element 0"},
      {DataType::kBytes, {2}, "\1\0\0\0a"sv, "end within element 1"},
      {DataType::kBytes, {1}, "\xff\xff\xff\xff"sv, "end within element 0"},
      {DataType::kBytes, {2}, "\0\0\0\0\xff\xff\xff\xff\0"sv, "end within element 1"},
      {DataType::kBytes, {1}, "\1\0\0\0ab"sv, "which end 1 bytes before its binary data does"},
      {DataType::kBytes, {0}, "a", "which end 1 bytes before"},
      {DataType::kBytes, {INT64_MAX}, "\0\0\0\0"sv, "end within element 1"},
  };
  for (const Case& c : cases) {
    Tensor tensor;
    Status status = ReadBinary(Spec(c.type, {}), c.shape, c.bytes, tensor);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(c.says), std::string::npos) << status;
    EXPECT_TRUE(status.message().starts_with("input 'x': ")) << status;
  }
}

TEST(BinaryTensorTest, DeducesTheShapeOfARawBody) {
  struct Case {
    DataType type;
    Shape spec;
    size_t size;
    std::optional<Shape> shape;
  } cases[] = {
      {kFp32, {-1, 4}, 16, Shape{1, 4}},
      {kFp32, {-1, 4}, 32, Shape{2, 4}},
      {kFp32, {-1, 4}, 0, Shape{0, 4}},
      {kFp32, {-1, 4}, 17, std::nullopt},
      {kFp32, {2, -1, 2}, 48, Shape{2, 3, 2}},
      {kFp32, {-1, -1, 2}, 48, Shape{1, 6, 2}},
      {kFp32, {-1, -1, -1}, 48, std::nullopt},
      {kFp32, {2, -1, -1}, 48, std::nullopt},
      {kFp32, {2, 2}, 16, Shape{2, 2}},
      {kFp32, {2, 2}, 12, std::nullopt},
      {kFp32, {}, 4, Shape{}},
      {kFp32, {}, 8, std::nullopt},
      {kFp32, {-1, 0}, 0, std::nullopt},
      {kFp64, {-1, INT64_MAX, INT64_MAX}, 8, std::nullopt},
      {kInt8, {-1}, 5, Shape{5}},
      {DataType::kBytes, {1}, 5, Shape{1}},
      {DataType::kBytes, {-1}, 5, Shape{1}},
      {DataType::kBytes, {-1, 1}, 0, Shape{1, 1}},
      {DataType::kBytes, {}, 5, Shape{}},
      {DataType::kBytes, {2}, 5, std::nullopt},
      {DataType::kBytes, {-1, -1}, 5, std::nullopt},
      {DataType::kBytes, {1, -1}, 5, std::nullopt},
  };
  for (const Case& c : cases) {
    std::string body(c.size, '\1');
    Tensor tensor;
    Status status = ReadRaw(Spec(c.type, c.spec), body, tensor);
    EXPECT_EQ(status.ok(), c.shape.has_value()) << c.spec.ToString() << " " << c.size << status;
    if (!status.ok()) {
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
      EXPECT_NE(status.message().find("'x'"), std::string::npos) << status;
      continue;
    }
    EXPECT_EQ(tensor.shape(), *c.shape) << tensor.shape().ToString();
    EXPECT_TRUE(CheckAgainst(Spec(c.type, c.spec), tensor.View()).ok());
    if (c.type == DataType::kBytes) {
      EXPECT_EQ(tensor.View().as<std::string_view>()[0], body);
    }
  }
}

}  // namespace
}  // namespace leadsman::v2
