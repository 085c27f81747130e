#include "storage/manifest.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/strings.h"

namespace leadsman {
namespace {

constexpr const char* kAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

std::string Good() {
  return StrCat(R"({"schema_version": 1, "name": "digits", "version": 3, "format": "onnx",
    "model_file": "model.onnx",
    "signature": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 64]}],
                  "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1], "optional": true}]},
    "files": [{"path": "model.onnx", "size_bytes": 3, "sha256": ")",
                kAbc, R"("}], "created_at": "2026-03-01T12:00:00Z", "metadata": {"any": "text"}})");
}

std::string With(const std::string& from, const std::string& to) {
  std::string text = Good();
  size_t at = text.find(from);
  CHECK(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST(ManifestTest, ReadsEveryField) {
  Result<Manifest> manifest = ParseManifest(Good());
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->name, "digits");
  EXPECT_EQ(manifest->version, 3);
  EXPECT_EQ(manifest->format, "onnx");
  EXPECT_EQ(manifest->model_file, "model.onnx");
  ASSERT_EQ(manifest->signature.inputs.size(), 1u);
  EXPECT_EQ(manifest->signature.inputs[0].type, DataType::kFp32);
  EXPECT_EQ(manifest->signature.inputs[0].shape, (Shape{-1, 64}));
  EXPECT_TRUE(manifest->signature.outputs[0].optional);
  ASSERT_EQ(manifest->files.size(), 1u);
  EXPECT_EQ(manifest->files[0].size_bytes, 3);
  EXPECT_EQ(manifest->files[0].sha256, kAbc);
  EXPECT_EQ(manifest->created_at, "2026-03-01T12:00:00Z");
  EXPECT_EQ(manifest->metadata.at("any"), "text");
}

TEST(ManifestTest, WritesWhatItReads) {
  Result<Manifest> first = ParseManifest(Good());
  ASSERT_TRUE(first.ok());
  std::string json = ManifestToJson(*first);
  Result<Manifest> second = ParseManifest(json);
  ASSERT_TRUE(second.ok()) << second.status() << json;
  EXPECT_EQ(ManifestToJson(*second), json);
  EXPECT_EQ(second->signature.outputs[0].name, "label");
  EXPECT_EQ(second->metadata, first->metadata);
}

TEST(ManifestTest, NamesTheFieldAndWhatItShouldBe) {
  struct Case {
    std::string json;
    std::string message;
  };
  const Case cases[] = {
      {"", "the manifest must be a JSON object"},
      {"[]", "the manifest must be an object, not an array"},
      {"{", "the manifest must be a JSON object"},
      {With("\"name\": \"digits\"", "\"nam\": \"digits\""), "name is missing"},
      {With("\"created_at\"", "\"create_at\""),
       "create_at is not a field of a manifest; did you mean created_at?"},
      {With("\"created_at\"", "\"zzz\""), "zzz is not a field of a manifest; known are"},
      {With("\"version\": 3", "\"version\": \"3\""),
       "version must be a whole number from 1, not text"},
      {With("\"version\": 3", "\"version\": 0"), "version must be a whole number from 1, not 0"},
      {With("\"version\": 3", "\"version\": 3.5"),
       "version must be a whole number from 1, not a number"},
      {With("\"version\": 3", "\"version\": 18446744073709551615"),
       "version must be a whole number"},
      {With("\"version\": 3", "\"version\": 3, \"version\": 4"),
       "the field version must come once, not twice"},
      {With("\"schema_version\": 1", "\"schema_version\": 2"), "schema_version must be 1, not 2"},
      {With("\"name\": \"digits\"", "\"name\": \"\""), "name must not be empty"},
      {With("\"format\": \"onnx\"", "\"format\": null"), "format must be text, not null"},
      {With("\"FP32\"", "\"float32\""), "signature.inputs[0].datatype must be one of BOOL"},
      {With("[-1, 64]", "[-2, 64]"),
       "signature.inputs[0].shape[0] must be a length, or -1 for any length, not -2"},
      {With("[-1, 64]", "64"), "signature.inputs[0].shape must be an array of dimensions"},
      {With("[-1, 64]", "[1,1,1,1,1,1,1,1,1]"), "shape must have at most 8 dimensions, not 9"},
      {With("\"path\": \"model.onnx\"", "\"path\": \"../model.onnx\""),
       "files[0].path must be a path relative to the version's folder"},
      {With("\"path\": \"model.onnx\"", "\"path\": \"/model.onnx\""), "files[0].path must be"},
      {With("\"path\": \"model.onnx\"", "\"path\": \"a/./b\""), "files[0].path must be"},
      {With("\"path\": \"model.onnx\"", "\"path\": \"a\\u0000\""),
       "files[0].path must not hold a NUL byte"},
      {With("\"path\": \"model.onnx\"", "\"path\": \"manifest.json\""),
       "files[0].path must not be the manifest itself"},
      {With("\"path\": \"model.onnx\"", "\"path\": \"other\""),
       "model_file must be one of the files listed in files"},
      {With("\"size_bytes\": 3", "\"size_bytes\": -1"),
       "files[0].size_bytes must be a number of bytes, not -1"},
      {With(kAbc, "abc"), "files[0].sha256 must be 64 hexadecimal digits"},
      {With("{\"any\": \"text\"}", "{\"any\": 1}"), "metadata.any must be text, not a number"},
      {With("{\"any\": \"text\"}", "{\"any\": [[[[[[[[[[1]]]]]]]]]]}"), "nested at most 8 levels"},
      {std::string(2 << 20, ' '), "the manifest must be at most 1048576 bytes long"},
  };
  for (const Case& c : cases) {
    Result<Manifest> manifest = ParseManifest(c.json);
    ASSERT_FALSE(manifest.ok()) << c.json;
    EXPECT_EQ(manifest.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(manifest.status().message().find(c.message), std::string::npos)
        << "wanted: " << c.message << "\n   got: " << manifest.status().message();
  }
}

TEST(ManifestTest, TellsEverythingThatIsWrongAtOnce) {
  EXPECT_EQ(ParseManifest(R"({"name": "", "version": "3", "format": "onnx", "file": "a"})")
                .status()
                .message(),
            "schema_version is missing (should be 1); model_file is missing (should be the file "
            "that holds the model, e.g. model.onnx); files is missing (should be a list of {path, "
            "size_bytes, sha256}); file is not a field of a manifest; did you mean files?; name "
            "must not be empty; version must be a whole number from 1, not text");
  EXPECT_EQ(ParseManifest(R"({"schema_version": 2, "more": 1})").status().message(),
            "schema_version must be 1, not 2");
}

TEST(ManifestTest, TheModelMayBeAFolderOfFiles) {
  std::string json = With("\"model_file\": \"model.onnx\"", "\"model_file\": \"saved\"");
  json.replace(json.find("\"path\": \"model.onnx\""), 20, "\"path\": \"saved/m.pb\"");
  EXPECT_TRUE(ParseManifest(json).ok()) << ParseManifest(json).status();
}

}  // namespace
}  // namespace leadsman
