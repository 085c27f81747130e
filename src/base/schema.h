#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/config_node.h"

/// Tables that describe configuration structs: one table reads YAML or JSON into the struct, writes
/// the struct back as JSON, and makes the reference page and the JSON Schema. Defaults live in the
/// struct alone.
///
///   const schema::Struct<RolloutStep>& RolloutStepSchema() {
///     static const auto table = [] {
///       schema::Struct<RolloutStep> s("RolloutStep", "One stage of a canary.");
///       s.Required("weight", &RolloutStep::weight, schema::Share(0, 1), "The candidate's share of
///       the traffic."); s.Field("duration", &RolloutStep::duration,
///       schema::Time<std::chrono::milliseconds>(0ms), "At least this long."); return s;
///     }();
///     return table;
///   }
///
/// Tables are built once and immutable then; all functions are thread-safe. No exceptions.
namespace leadsman::schema {

/// Collects what is wrong; knows where it is in the document.
class Reader {
 public:
  /// More problems than anybody reads at once are not collected.
  static constexpr size_t kMaxProblems = 100;

  explicit Reader(std::vector<ConfigProblem>& problems) : problems_(problems) {}
  void Fail(const ConfigNode& node, std::string message) {
    unsound_.insert(path_);
    FailAt(node.line, node.column, path_, std::move(message));
  }
  /// Told of this map, but it is the value of `key` that cannot be relied on.
  void FailMissing(const ConfigNode& map, std::string_view key, std::string message);
  /// As Fail at a place of one's own; what else was read from there still counts.
  void FailAt(int line, int column, std::string path, std::string message);
  size_t problem_count() const { return count_; }
  const std::string& path() const { return path_; }
  /// Whether the value at this full path, and all that it stands in, could be read; of a list, its
  /// elements too, but not the fields of these.
  bool IsSound(std::string_view path) const;

  /// Appends a key or an index to the path for as long as it lives.
  class Step {
   public:
    Step(Reader& reader, std::string_view key);
    Step(Reader& reader, size_t index);
    ~Step() { reader_.path_.resize(size_); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    Reader& reader_;
    size_t size_;
  };

 private:
  std::vector<ConfigProblem>& problems_;
  std::string path_;
  std::set<std::string, std::less<>> unsound_;
  size_t count_ = 0;
};

/// What a struct's own check says about its fields: problems.Add("steps[1].weight", "must be
/// greater than …").
class Problems {
 public:
  Problems(Reader& reader, const ConfigNode& node) : reader_(reader), node_(node) {}
  /// `path` is relative to the struct, as in all functions here; empty means the struct itself.
  /// Says nothing when what is there could not be read: that was told already.
  void Add(const std::string& path, std::string message);
  /// False when what is there could not be read: it has its default, which nobody wrote. A check
  /// that compares asks so of what it does not complain about itself.
  bool IsSound(const std::string& path) const { return reader_.IsSound(FullPath(path)); }
  /// Whether the document has it: if not, it has its default.
  bool IsGiven(const std::string& path) const;

 private:
  std::string FullPath(const std::string& path) const;

  Reader& reader_;
  const ConfigNode& node_;
};

class StructInfo;

/// One type as the document sees it, without the C++ type behind it.
class AnyType {
 public:
  virtual ~AnyType() = default;
  /// "duration", "list of RolloutStep", for the reference page.
  virtual std::string Name() const = 0;
  /// Accepted values in words: "1 to 65535", "latest, all"; empty when anything goes.
  virtual std::string Range() const { return ""; }
  /// Appends a JSON Schema; structs as {"$ref": "#/$defs/Name"}.
  virtual void AppendJsonSchema(std::string& out) const = 0;
  /// The struct inside (of a list or map: of its elements), or null.
  virtual const StructInfo* struct_info() const { return nullptr; }
  /// "[]" for a list, ".*" for a map, "" otherwise: how the path goes on below.
  virtual std::string PathSuffix() const { return ""; }
};

template <typename T>
class Type : public AnyType {
 public:
  /// On a problem `out` keeps what it had, or what could be read of it.
  virtual void Read(const ConfigNode& node, T& out, Reader& reader) const = 0;
  virtual void Write(const T& value, std::string& json) const = 0;
  /// What a new element of this type starts from.
  virtual T Initial() const { return T(); }
};
template <typename T>
using TypePtr = std::shared_ptr<const Type<T>>;

/// A table of fields as the documentation sees it.
class StructInfo {
 public:
  struct FieldInfo {
    std::string key;
    std::string doc;
    bool required = false;
    std::string default_json;  ///< empty: none worth showing
    std::shared_ptr<const AnyType> type;
  };
  virtual ~StructInfo() = default;
  const std::string& name() const { return name_; }
  const std::string& doc() const { return doc_; }
  const std::vector<FieldInfo>& fields() const { return infos_; }
  void AppendDefinition(std::string& out) const;

 protected:
  StructInfo(std::string name, std::string doc) : name_(std::move(name)), doc_(std::move(doc)) {}
  std::string name_;
  std::string doc_;
  std::vector<FieldInfo> infos_;
};

/// The Markdown reference page of a table and of everything below it.
std::string MarkdownReference(const StructInfo& root, std::string_view title,
                              std::string_view introduction);
/// The JSON Schema (draft 2020-12), indented.
std::string JsonSchema(const StructInfo& root, std::string_view id, std::string_view title);
/// Indents compact JSON; returns the text as it is when it is not JSON.
std::string PrettyJson(std::string_view json);

namespace internal {
// The parts that need no C++ type. Nothing when a problem was reported.
std::optional<int64_t> ReadInteger(const ConfigNode& node, int64_t min, int64_t max,
                                   Reader& reader);
std::optional<double> ReadNumber(const ConfigNode& node, double min, bool min_excluded, double max,
                                 bool share, Reader& reader);
std::optional<bool> ReadBool(const ConfigNode& node, Reader& reader);
std::optional<std::string> ReadString(const ConfigNode& node, Reader& reader);
std::optional<std::chrono::nanoseconds> ReadTime(const ConfigNode& node,
                                                 std::chrono::nanoseconds min,
                                                 std::chrono::nanoseconds max,
                                                 std::chrono::nanoseconds unit, Reader& reader);
std::optional<int64_t> ReadBytes(const ConfigNode& node, int64_t min, int64_t max, Reader& reader);
std::optional<size_t> ReadEnum(const ConfigNode& node, const std::vector<std::string>& names,
                               Reader& reader);
bool ExpectList(const ConfigNode& node, size_t min_items, size_t max_items, Reader& reader);
bool ExpectMap(const ConfigNode& node, std::string_view what, Reader& reader);
void FailUnknownKey(const ConfigNode::Entry& entry,
                    const std::vector<StructInfo::FieldInfo>& fields, Reader& reader);
void WriteString(std::string_view text, std::string& json);
void WriteNumber(double value, std::string& json);
std::string IntegerRange(int64_t min, int64_t max);
std::string NumberRange(double min, bool min_excluded, double max, bool share);
std::string TimeRange(std::chrono::nanoseconds min, std::chrono::nanoseconds max);
std::string BytesRange(int64_t min, int64_t max);
void AppendNumberSchema(double min, bool min_excluded, double max, bool share, std::string& out);
void AppendEnumSchema(const std::vector<std::string>& names, std::string& out);
void AppendStringSchema(std::string_view kind, std::string& out);
}  // namespace internal

/// "5s", "200ms", "1h30m", "500us", "14d": digits with a unit, the largest first; "0" needs none.
std::optional<std::chrono::nanoseconds> ParseTime(std::string_view text);
/// The shortest text that ParseTime reads back: "1h30m", "1.5ms" is "1ms500us".
std::string FormatTime(std::chrono::nanoseconds time);
/// "64KiB", "64MiB", "1.5GiB", "10MB", "4096".
std::optional<int64_t> ParseBytes(std::string_view text);
std::string FormatBytes(int64_t bytes);

// ---- Types of fields
// ---------------------------------------------------------------------------------------------

/// A whole number.
template <typename T = int>
TypePtr<T> Integer(int64_t min = std::numeric_limits<int64_t>::min(),
                   int64_t max = std::numeric_limits<int64_t>::max()) {
  class Impl final : public Type<T> {
   public:
    Impl(int64_t min, int64_t max) : min_(min), max_(max) {}
    std::string Name() const override { return "integer"; }
    std::string Range() const override { return internal::IntegerRange(min_, max_); }
    void AppendJsonSchema(std::string& out) const override {
      out += R"({"type":"integer")";
      if (min_ != std::numeric_limits<int64_t>::min())
        out += ",\"minimum\":" + std::to_string(min_);
      if (max_ != std::numeric_limits<int64_t>::max())
        out += ",\"maximum\":" + std::to_string(max_);
      out += '}';
    }
    void Read(const ConfigNode& node, T& out, Reader& reader) const override {
      if (auto value = internal::ReadInteger(node, min_, max_, reader))
        out = static_cast<T>(*value);
    }
    void Write(const T& value, std::string& json) const override { json += std::to_string(value); }

   private:
    int64_t min_, max_;
  };
  // What the C++ type cannot hold is out of range, whatever the table says.
  using Limits = std::numeric_limits<T>;
  if (min < 0 && !Limits::is_signed) min = 0;
  if (Limits::is_signed) min = std::max<int64_t>(min, static_cast<int64_t>(Limits::min()));
  if (sizeof(T) < 8) max = std::min<int64_t>(max, static_cast<int64_t>(Limits::max()));
  return std::make_shared<Impl>(min, max);
}

/// Any finite number from `min` to `max`.
TypePtr<double> Number(double min = -std::numeric_limits<double>::infinity(),
                       double max = std::numeric_limits<double>::infinity());
/// As Number, but `min` itself is not allowed.
TypePtr<double> NumberAbove(double min, double max = std::numeric_limits<double>::infinity());
/// A share: 0.1 or "10%". `min` itself is allowed unless it is excluded.
TypePtr<double> Share(double min = 0, double max = 1, bool min_excluded = false);

TypePtr<bool> Boolean();
TypePtr<std::string> Text();
/// `check` returns what is wrong with the text, or nothing. `rule` says the same in words for the
/// reference page.
TypePtr<std::string> TextWith(std::string rule,
                              std::function<std::string(const std::string&)> check);

template <typename D>
TypePtr<D> Time(D min = D::zero(),
                D max = std::chrono::duration_cast<D>(std::chrono::hours(24 * 3650))) {
  class Impl final : public Type<D> {
   public:
    Impl(D min, D max) : min_(min), max_(max) {}
    std::string Name() const override { return "duration"; }
    std::string Range() const override { return internal::TimeRange(min_, max_); }
    void AppendJsonSchema(std::string& out) const override {
      internal::AppendStringSchema("duration", out);
    }
    void Read(const ConfigNode& node, D& out, Reader& reader) const override {
      if (auto value = internal::ReadTime(node, min_, max_, D(1), reader))
        out = std::chrono::duration_cast<D>(*value);
    }
    void Write(const D& value, std::string& json) const override {
      internal::WriteString(FormatTime(value), json);
    }

   private:
    D min_, max_;
  };
  return std::make_shared<Impl>(min, max);
}

template <typename T = size_t>
TypePtr<T> Bytes(int64_t min, int64_t max) {
  class Impl final : public Type<T> {
   public:
    Impl(int64_t min, int64_t max) : min_(min), max_(max) {}
    std::string Name() const override { return "size"; }
    std::string Range() const override { return internal::BytesRange(min_, max_); }
    void AppendJsonSchema(std::string& out) const override {
      internal::AppendStringSchema("size", out);
    }
    void Read(const ConfigNode& node, T& out, Reader& reader) const override {
      if (auto value = internal::ReadBytes(node, min_, max_, reader)) out = static_cast<T>(*value);
    }
    void Write(const T& value, std::string& json) const override {
      internal::WriteString(FormatBytes(static_cast<int64_t>(value)), json);
    }

   private:
    int64_t min_, max_;
  };
  return std::make_shared<Impl>(min, max);
}

/// One of some words. Every value of E that can occur must be named.
template <typename E>
TypePtr<E> Enum(std::vector<std::pair<std::string, E>> values) {
  class Impl final : public Type<E> {
   public:
    explicit Impl(std::vector<std::pair<std::string, E>> values) {
      for (auto& [name, value] : values) {
        names_.push_back(std::move(name));
        values_.push_back(value);
      }
    }
    std::string Name() const override { return "word"; }
    std::string Range() const override {
      std::string out;
      for (const std::string& name : names_) out += (out.empty() ? "`" : ", `") + name + "`";
      return out;
    }
    void AppendJsonSchema(std::string& out) const override {
      internal::AppendEnumSchema(names_, out);
    }
    void Read(const ConfigNode& node, E& out, Reader& reader) const override {
      if (auto index = internal::ReadEnum(node, names_, reader)) out = values_[*index];
    }
    void Write(const E& value, std::string& json) const override {
      for (size_t i = 0; i < values_.size(); ++i) {
        if (values_[i] == value) return internal::WriteString(names_[i], json);
      }
      json += "null";
    }
    E Initial() const override { return values_.front(); }

   private:
    std::vector<std::string> names_;
    std::vector<E> values_;
  };
  return std::make_shared<Impl>(std::move(values));
}

template <typename T>
TypePtr<std::vector<T>> List(TypePtr<T> element, size_t min_items = 0, size_t max_items = 10'000) {
  class Impl final : public Type<std::vector<T>> {
   public:
    Impl(TypePtr<T> element, size_t min, size_t max)
        : element_(std::move(element)), min_(min), max_(max) {}
    std::string Name() const override { return "list of " + element_->Name(); }
    std::string Range() const override { return element_->Range(); }
    void AppendJsonSchema(std::string& out) const override {
      out += R"({"type":"array","items":)";
      element_->AppendJsonSchema(out);
      if (min_ > 0) out += ",\"minItems\":" + std::to_string(min_);
      out += ",\"maxItems\":" + std::to_string(max_) + "}";
    }
    const StructInfo* struct_info() const override { return element_->struct_info(); }
    std::string PathSuffix() const override { return "[]" + element_->PathSuffix(); }
    void Read(const ConfigNode& node, std::vector<T>& out, Reader& reader) const override {
      if (!internal::ExpectList(node, min_, max_, reader)) return;
      out.clear();
      for (size_t i = 0; i < node.items.size(); ++i) {
        Reader::Step step(reader, i);
        T value = element_->Initial();
        element_->Read(node.items[i], value, reader);
        out.push_back(std::move(value));
      }
    }
    void Write(const std::vector<T>& value, std::string& json) const override {
      json += '[';
      for (size_t i = 0; i < value.size(); ++i) {
        if (i > 0) json += ',';
        element_->Write(value[i], json);
      }
      json += ']';
    }

   private:
    TypePtr<T> element_;
    size_t min_, max_;
  };
  return std::make_shared<Impl>(std::move(element), min_items, max_items);
}

template <typename T>
TypePtr<std::map<std::string, T>> Map(TypePtr<T> element) {
  class Impl final : public Type<std::map<std::string, T>> {
   public:
    explicit Impl(TypePtr<T> element) : element_(std::move(element)) {}
    std::string Name() const override { return "map of text to " + element_->Name(); }
    std::string Range() const override { return element_->Range(); }
    void AppendJsonSchema(std::string& out) const override {
      out += R"({"type":"object","additionalProperties":)";
      element_->AppendJsonSchema(out);
      out += '}';
    }
    const StructInfo* struct_info() const override { return element_->struct_info(); }
    std::string PathSuffix() const override { return ".*" + element_->PathSuffix(); }
    void Read(const ConfigNode& node, std::map<std::string, T>& out,
              Reader& reader) const override {
      if (!internal::ExpectMap(node, "a map of names to values", reader)) return;
      out.clear();
      for (const ConfigNode::Entry& entry : node.entries) {
        Reader::Step step(reader, entry.key);
        T value = element_->Initial();
        element_->Read(entry.value, value, reader);
        out.emplace(entry.key, std::move(value));
      }
    }
    void Write(const std::map<std::string, T>& value, std::string& json) const override {
      json += '{';
      bool first = true;
      for (const auto& [key, element] : value) {
        if (!first) json += ',';
        first = false;
        internal::WriteString(key, json);
        json += ':';
        element_->Write(element, json);
      }
      json += '}';
    }

   private:
    TypePtr<T> element_;
  };
  return std::make_shared<Impl>(std::move(element));
}

/// Absent unless given.
template <typename T>
TypePtr<std::optional<T>> Optional(TypePtr<T> inner) {
  class Impl final : public Type<std::optional<T>> {
   public:
    explicit Impl(TypePtr<T> inner) : inner_(std::move(inner)) {}
    std::string Name() const override { return inner_->Name(); }
    std::string Range() const override { return inner_->Range(); }
    void AppendJsonSchema(std::string& out) const override { inner_->AppendJsonSchema(out); }
    const StructInfo* struct_info() const override { return inner_->struct_info(); }
    std::string PathSuffix() const override { return inner_->PathSuffix(); }
    void Read(const ConfigNode& node, std::optional<T>& out, Reader& reader) const override {
      T value = inner_->Initial();
      inner_->Read(node, value, reader);
      out = std::move(value);
    }
    void Write(const std::optional<T>& value, std::string& json) const override {
      if (value) {
        inner_->Write(*value, json);
      } else {
        json += "null";
      }
    }

   private:
    TypePtr<T> inner_;
  };
  return std::make_shared<Impl>(std::move(inner));
}

/// The table of a struct. `initial` is where reading starts: its values are the defaults.
template <typename T>
class Struct final : public StructInfo {
 public:
  Struct(std::string name, std::string doc, T initial = T())
      : StructInfo(std::move(name), std::move(doc)), initial_(std::move(initial)) {}

  template <typename M>
  Struct& Field(std::string key, M T::*member, TypePtr<M> type, std::string doc) {
    return AddMember(std::move(key), member, std::move(type), std::move(doc), false);
  }
  template <typename M>
  Struct& Required(std::string key, M T::*member, TypePtr<M> type, std::string doc) {
    return AddMember(std::move(key), member, std::move(type), std::move(doc), true);
  }
  /// A struct inside, under its own key.
  template <typename M>
  Struct& Nested(std::string key, M T::*member, const Struct<M>& table, std::string doc) {
    initial_.*member = table.initial();
    return AddMember(std::move(key), member, Struct<M>::Of(table), std::move(doc), false);
  }
  /// A struct inside whose fields stand among this one's.
  template <typename M>
  Struct& Embedded(M T::*member, const Struct<M>& table) {
    initial_.*member = table.initial_;
    for (size_t i = 0; i < table.fields_.size(); ++i) {
      auto inner = table.fields_[i];
      infos_.push_back(table.infos_[i]);
      fields_.push_back(
          {[=](const ConfigNode& node, T& out, Reader& r) { inner.read(node, out.*member, r); },
           [=](const T& value, std::string& json) { inner.write(value.*member, json); }});
    }
    for (const auto& check : table.checks_) {
      checks_.push_back(
          [=](const T& value, Problems& problems) { check(value.*member, problems); });
    }
    return *this;
  }
  /// What one field cannot know. Runs on what could be read: fields that could not have their
  /// defaults, see Problems::IsSound.
  Struct& Check(std::function<void(const T&, Problems&)> check) {
    checks_.push_back(std::move(check));
    return *this;
  }

  const T& initial() const { return initial_; }
  void Read(const ConfigNode& node, T& out, Reader& reader) const {
    if (!internal::ExpectMap(node, name_, reader)) return;
    std::vector<bool> seen(fields_.size());
    for (const ConfigNode::Entry& entry : node.entries) {
      size_t i = 0;
      while (i < infos_.size() && infos_[i].key != entry.key) ++i;
      if (i == infos_.size()) {
        internal::FailUnknownKey(entry, infos_, reader);
        continue;
      }
      // A key without a value means: as if it were not there.
      if (entry.value.kind == ConfigNode::Kind::kNull) continue;
      seen[i] = true;
      Reader::Step step(reader, entry.key);
      fields_[i].read(entry.value, out, reader);
    }
    for (size_t i = 0; i < infos_.size(); ++i) {
      if (infos_[i].required && !seen[i])
        reader.FailMissing(node, infos_[i].key, "needs " + infos_[i].key + ": " + infos_[i].doc);
    }
    Problems problems(reader, node);
    for (const auto& check : checks_) check(out, problems);
  }
  void Write(const T& value, std::string& json) const {
    json += '{';
    bool first = true;
    for (size_t i = 0; i < fields_.size(); ++i) {
      std::string field;
      fields_[i].write(value, field);
      if (field == "null") continue;  // what is absent is not written
      if (!first) json += ',';
      first = false;
      internal::WriteString(infos_[i].key, json);
      json += ':';
      json += field;
    }
    json += '}';
  }

  /// The table as a type, for lists and the like. The table must outlive it: tables are function
  /// statics.
  static TypePtr<T> Of(const Struct& table) {
    class Impl final : public Type<T> {
     public:
      explicit Impl(const Struct& table) : table_(table) {}
      std::string Name() const override { return table_.name(); }
      void AppendJsonSchema(std::string& out) const override {
        out += "{\"$ref\":\"#/$defs/" + table_.name() + "\"}";
      }
      const StructInfo* struct_info() const override { return &table_; }
      void Read(const ConfigNode& node, T& out, Reader& reader) const override {
        table_.Read(node, out, reader);
      }
      void Write(const T& value, std::string& json) const override { table_.Write(value, json); }
      T Initial() const override { return table_.initial(); }

     private:
      const Struct& table_;
    };
    return std::make_shared<Impl>(table);
  }

 private:
  template <typename>
  friend class Struct;
  struct FieldAccess {
    std::function<void(const ConfigNode&, T&, Reader&)> read;
    std::function<void(const T&, std::string&)> write;
  };

  template <typename M>
  Struct& AddMember(std::string key, M T::*member, TypePtr<M> type, std::string doc,
                    bool required) {
    std::string default_json;
    if (!required && !type->struct_info()) type->Write(initial_.*member, default_json);
    infos_.push_back({std::move(key), std::move(doc), required, std::move(default_json), type});
    fields_.push_back(
        {[=](const ConfigNode& node, T& out, Reader& r) { type->Read(node, out.*member, r); },
         [=](const T& value, std::string& json) { type->Write(value.*member, json); }});
    return *this;
  }

  T initial_;
  std::vector<FieldAccess> fields_;
  std::vector<std::function<void(const T&, Problems&)>> checks_;
};

/// A struct's table as a type.
template <typename T>
TypePtr<T> Of(const Struct<T>& table) {
  return Struct<T>::Of(table);
}

/// A field that is kept in one form (`M`) and written in another (`U`): `to` and `from` translate.
template <typename M, typename U>
TypePtr<M> Via(const Struct<U>& table, std::function<M(const U&)> to,
               std::function<U(const M&)> from) {
  class Impl final : public Type<M> {
   public:
    Impl(const Struct<U>& table, std::function<M(const U&)> to, std::function<U(const M&)> from)
        : table_(table), to_(std::move(to)), from_(std::move(from)) {}
    std::string Name() const override { return table_.name(); }
    void AppendJsonSchema(std::string& out) const override {
      out += "{\"$ref\":\"#/$defs/" + table_.name() + "\"}";
    }
    const StructInfo* struct_info() const override { return &table_; }
    void Read(const ConfigNode& node, M& out, Reader& reader) const override {
      size_t before = reader.problem_count();
      U value = table_.initial();
      table_.Read(node, value, reader);
      if (reader.problem_count() == before) out = to_(value);
    }
    void Write(const M& value, std::string& json) const override {
      table_.Write(from_(value), json);
    }

   private:
    const Struct<U>& table_;
    std::function<M(const U&)> to_;
    std::function<U(const M&)> from_;
  };
  return std::make_shared<Impl>(table, std::move(to), std::move(from));
}

// ---- Whole documents
// ---------------------------------------------------------------------------------------------

/// Reads `text` into `out` (which should start as table.initial()). False when there are problems;
/// `out` then holds what could be read and must not be used.
template <typename T>
bool ReadYaml(std::string_view text, const Struct<T>& table, T& out,
              std::vector<ConfigProblem>& problems) {
  ConfigNode root;
  if (!ParseYaml(text, ConfigLimits(), root, problems)) return false;
  // An empty file is an empty map: every default.
  if (root.kind == ConfigNode::Kind::kNull) root.kind = ConfigNode::Kind::kMap;
  Reader reader(problems);
  table.Read(root, out, reader);
  return reader.problem_count() == 0;
}

/// The same for the body of an API call.
template <typename T>
bool ReadJson(std::string_view text, const Struct<T>& table, T& out,
              std::vector<ConfigProblem>& problems) {
  ConfigNode root;
  if (!ParseJson(text, ConfigLimits(), root, problems)) return false;
  Reader reader(problems);
  table.Read(root, out, reader);
  return reader.problem_count() == 0;
}

template <typename T>
std::string WriteJson(const Struct<T>& table, const T& value) {
  std::string json;
  table.Write(value, json);
  return json;
}

}  // namespace leadsman::schema
