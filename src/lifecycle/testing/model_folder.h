#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "base/check.h"
#include "base/fs.h"
#include "base/strings.h"
#include "storage/verify.h"

namespace leadsman {

/// Everything of a version folder but its manifest: what a copy in progress looks like. Returns the
/// manifest that would make it complete.
inline Manifest WriteModelFiles(const std::filesystem::path& root, const std::string& name,
                                int64_t version, const std::string& format = "fake") {
  std::filesystem::path folder = root / name / std::to_string(version);
  std::filesystem::create_directories(folder);
  std::string content = StrCat("model ", name, " version ", version, "\n");
  std::ofstream(folder / "model.bin", std::ios::binary) << content;
  Result<std::string> sha256 = Sha256OfFile((folder / "model.bin").string());
  CHECK(sha256.ok());
  Manifest manifest;
  manifest.name = name;
  manifest.version = version;
  manifest.format = format;
  manifest.model_file = "model.bin";
  manifest.files = {{"model.bin", static_cast<int64_t>(content.size()), *sha256}};
  return manifest;
}

/// Puts the manifest into its folder, by rename, as a release tool does.
inline void WriteManifest(const std::filesystem::path& root, const Manifest& manifest) {
  std::filesystem::path folder = root / manifest.name / std::to_string(manifest.version);
  CHECK(WriteFileAtomically((folder / kManifestFileName).string(), ManifestToJson(manifest)).ok());
}

/// A complete version for FakeBackend at root/name/version: one small model file and a right
/// manifest without signature (the backend's own counts). ModelConfig::path is ModelFolder(root,
/// name).
///   TempDir dir;
///   WriteModelVersion(dir.path(), "digits", 1);
///   ModelConfig config{.name = "digits", .path = ModelFolder(dir.path(), "digits")};
inline Manifest WriteModelVersion(const std::filesystem::path& root, const std::string& name,
                                  int64_t version, const std::string& format = "fake") {
  Manifest manifest = WriteModelFiles(root, name, version, format);
  WriteManifest(root, manifest);
  return manifest;
}

inline std::string ModelFolder(const std::filesystem::path& root, const std::string& name) {
  return (root / name).string();
}

inline void RemoveModelVersion(const std::filesystem::path& root, const std::string& name,
                               int64_t version) {
  std::error_code ignored;
  std::filesystem::remove_all(root / name / std::to_string(version), ignored);
}

}  // namespace leadsman
