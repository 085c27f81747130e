#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/strings.h"
#include "base/wire.h"
#include "rpc/services.h"

// grpc.reflection.v1 and v1alpha: the descriptors of src/rpc/proto/, made by protoc at build time.

namespace leadsman::rpc {

/// A serialized google.protobuf.FileDescriptorSet; in the generated descriptors.cc.
extern const unsigned char kDescriptorSet[];
extern const size_t kDescriptorSetSize;

namespace {

/// What stands in which file. Immutable.
class DescriptorIndex {
 public:
  static const DescriptorIndex& Get() {
    static const auto* index = new DescriptorIndex();
    return *index;
  }
  /// Null when unknown.
  const std::string_view* FileOf(std::string_view symbol) const { return Find(symbols_, symbol); }
  const std::string_view* File(std::string_view name) const { return Find(files_, name); }
  const std::vector<std::string>& services() const { return services_; }

  /// The file and all that it depends on, itself first.
  std::vector<std::string_view> WithDependencies(std::string_view file) const {
    std::vector<std::string_view> all;
    std::set<std::string_view> seen;
    std::vector<std::string_view> todo{file};
    while (!todo.empty()) {
      std::string_view current = todo.back();
      todo.pop_back();
      if (!seen.insert(current).second) continue;
      all.push_back(current);
      WireReader in(current);
      while (in.Next()) {
        if (!in.Is(3, WireReader::kBytes)) continue;
        if (const std::string_view* dependency = File(in.bytes())) todo.push_back(*dependency);
      }
    }
    return all;
  }

 private:
  using Map = std::map<std::string, std::string_view, std::less<>>;

  DescriptorIndex() {
    WireReader set({reinterpret_cast<const char*>(kDescriptorSet), kDescriptorSetSize});
    while (set.Next()) {
      if (set.Is(1, WireReader::kBytes)) AddFile(set.bytes());
    }
    CHECK(set.ok());
  }

  static const std::string_view* Find(const Map& map, std::string_view key) {
    auto it = map.find(key);
    return it == map.end() ? nullptr : &it->second;
  }

  static std::string_view NameOf(std::string_view descriptor) {
    std::string_view name;
    WireReader in(descriptor);
    while (in.Next()) {
      if (in.Is(1, WireReader::kBytes)) name = in.bytes();
    }
    return name;
  }

  void AddFile(std::string_view file) {
    std::string_view package;
    WireReader in(file);
    while (in.Next()) {
      if (in.Is(1, WireReader::kBytes)) files_.emplace(in.bytes(), file);
      if (in.Is(2, WireReader::kBytes)) package = in.bytes();
    }
    const std::string prefix = package.empty() ? "" : StrCat(package, ".");
    WireReader again(file);
    while (again.Next()) {
      if (again.type() != WireReader::kBytes) continue;
      if (again.field() == 4) AddMessage(prefix, again.bytes(), file);
      if (again.field() == 5) symbols_.emplace(StrCat(prefix, NameOf(again.bytes())), file);
      if (again.field() == 6) AddService(prefix, again.bytes(), file);
    }
  }
  void AddMessage(const std::string& prefix, std::string_view message, std::string_view file) {
    const std::string name = StrCat(prefix, NameOf(message));
    symbols_.emplace(name, file);
    WireReader in(message);
    while (in.Next()) {
      if (in.Is(3, WireReader::kBytes)) AddMessage(StrCat(name, "."), in.bytes(), file);
      if (in.Is(4, WireReader::kBytes))
        symbols_.emplace(StrCat(name, ".", NameOf(in.bytes())), file);
    }
  }
  void AddService(const std::string& prefix, std::string_view service, std::string_view file) {
    const std::string name = StrCat(prefix, NameOf(service));
    symbols_.emplace(name, file);
    if (HasService(name)) services_.push_back(name);  // proto/ has those of other programs too
    WireReader in(service);
    while (in.Next()) {
      if (in.Is(2, WireReader::kBytes))
        symbols_.emplace(StrCat(name, ".", NameOf(in.bytes())), file);
    }
  }

  Map files_, symbols_;
  std::vector<std::string> services_;
};

void AppendFiles(WireWriter& out, std::string_view file) {
  out.Message(4, [&](WireWriter& answer) {
    for (std::string_view one : DescriptorIndex::Get().WithDependencies(file)) answer.Bytes(1, one);
  });
}

void AppendError(WireWriter& out, StatusCode code, std::string_view message) {
  out.Message(7, [&](WireWriter& error) {
    error.Number(1, static_cast<uint64_t>(code));
    error.Text(2, message);
  });
}

}  // namespace

Status Reflect(std::string_view request, std::string& response) {
  const DescriptorIndex& index = DescriptorIndex::Get();
  std::string_view host;
  uint32_t asked = 0;
  std::string_view argument;
  WireReader in(request);
  while (in.Next()) {
    if (in.type() != WireReader::kBytes) continue;
    if (in.field() == 1) {
      host = in.bytes();
    } else if (in.field() >= 3 && in.field() <= 7) {
      asked = in.field();
      argument = in.bytes();
    }
  }
  if (!in.ok()) return InvalidArgumentError("malformed protocol buffer message");
  if (!IsUtf8(host) || !IsUtf8(argument))
    return InvalidArgumentError("malformed protocol buffer message: not UTF-8");
  const std::string shown(CutUtf8(argument, 256));
  WireWriter out(response);
  out.Text(1, host);
  out.Bytes(2, request);
  switch (asked) {
    case 3:
      if (const std::string_view* file = index.File(argument)) {
        AppendFiles(out, *file);
      } else {
        AppendError(out, StatusCode::kNotFound, StrCat("no file '", shown, "'"));
      }
      return OkStatus();
    case 4:
      if (const std::string_view* file = index.FileOf(argument)) {
        AppendFiles(out, *file);
      } else {
        AppendError(out, StatusCode::kNotFound, StrCat("no symbol '", shown, "'"));
      }
      return OkStatus();
    case 5:
      AppendError(out, StatusCode::kNotFound, "there are no extensions");
      return OkStatus();
    case 6:
      if (index.FileOf(argument) == nullptr) {
        AppendError(out, StatusCode::kNotFound, StrCat("no type '", shown, "'"));
      } else {
        out.Message(5, [&](WireWriter& none) { none.Text(1, argument); });
      }
      return OkStatus();
    case 7:
      out.Message(6, [&](WireWriter& list) {
        for (const std::string& name : index.services()) {
          list.Message(1, [&](WireWriter& service) { service.Text(1, name); });
        }
      });
      return OkStatus();
    default:
      AppendError(out, StatusCode::kUnimplemented, "unknown kind of request");
      return OkStatus();
  }
}

}  // namespace leadsman::rpc
