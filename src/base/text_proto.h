#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/config_node.h"
#include "base/status.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace leadsman {

/// Reads a file in protobuf's text format (TensorFlow Serving's configuration files, Triton's
/// config.pbtxt) with protobuf's own parser, and remembers where things stand, so that a check made
/// afterwards can point at the text, too.
///
///   TextProto text;
///   RETURN_IF_ERROR(text.Load("models.config", message));
///   text.Add("model_config_list.config[1].name", "must not be empty");
///   return text.status();
///
/// Confined to one thread. No exceptions.
class TextProto {
 public:
  TextProto();
  ~TextProto();
  TextProto(const TextProto&) = delete;
  TextProto& operator=(const TextProto&) = delete;

  /// What stands in messages of this type ("leadsman.triton.file.NotRead") is not read, for blocks of
  /// which only the presence counts. To be called before anything is parsed.
  void PassOver(std::string type) { passed_over_ = std::move(type); }

  /// `[type.googleapis.com/<from>.Name] { … }` in an Any is read as `<to>.Name`, which stands in its `value` then. To be called
  /// before anything is parsed; other types are problems.
  void ReadAnysAs(std::string from, std::string to) {
    any_from_ = std::move(from);
    any_to_ = std::move(to);
  }

  /// Reads the file and parses it. Errors as of ReadFile, or INVALID_ARGUMENT with every problem on
  /// a line of its own, "file:line:column: …". Unknown fields are problems. Blocks for the file.
  Status Load(const std::string& path, google::protobuf::Message& message);
  /// The same for a text; `name` stands for the file in messages.
  Status Parse(std::string_view name, std::string_view text, google::protobuf::Message& message);

  /// The same for JSON as protobuf has it, in which lists are `[ ]`; problems are told by path, without a line.
  Status ParseJson(std::string_view name, std::string_view json,
                   google::protobuf::Message& message);

  /// A problem with what was parsed. `path` as in "model_config_list.config[1].name"; where it leads
  /// nowhere, the nearest that exists gives line and column.
  void Add(const std::string& path, std::string message);
  bool ok() const { return problems_.empty(); }
  /// All problems that were added, or OK.
  Status status() const;

 private:
  struct Locations;
  std::string name_;
  std::string passed_over_;
  std::string any_from_, any_to_;  ///< packages
  std::vector<ConfigProblem> problems_;
  std::unique_ptr<Locations> locations_;
};

}  // namespace leadsman
