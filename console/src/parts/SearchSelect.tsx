import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Select } from "antd";
import { useState, type CSSProperties, type ReactNode } from "react";
import { useDebounced } from "../queries/plan";

export interface Choice {
  value: string;
  label: string;
}

interface Props {
  /** The kind of object, first in the key of the query, so that changes refresh the choices. */
  kind: string;
  load: (search: string | undefined) => Promise<Choice[]>;
  label: string;
  value?: string;
  onChange?: (value: string | undefined) => void;
  placeholder?: string;
  /** Choices that stand before those found. */
  first?: Choice[];
  /** Takes what was typed even when nothing is found for it. */
  free?: boolean;
  allowClear?: boolean;
  disabled?: boolean;
  variant?: "filled";
  prefix?: ReactNode;
  style?: CSSProperties;
  id?: string;
}

/** A choice among any number of objects: the platform searches, a few are shown. */
export function SearchSelect({ kind, load, label, value, onChange, placeholder, first = [], free, allowClear, disabled, variant, prefix, style, id }: Props) {
  const [typed, setTyped] = useState("");
  const [open, setOpen] = useState(false);
  const search = useDebounced(typed, 250);
  const { data, isFetching, isPlaceholderData } = useQuery({ queryKey: [kind, "choices", label, search], enabled: open, placeholderData: keepPreviousData, queryFn: () => load(search || undefined) });
  // Until the platform has answered for what is typed, only what fits it of the answer before: Enter must not take another.
  const late = search !== typed || isPlaceholderData;
  const fits = (choice: Choice) => choice.label.toLowerCase().includes(typed.toLowerCase());
  const found = [...first.filter(fits), ...(late ? (data ?? []).filter(fits) : (data ?? []))];
  const options = free && typed && !found.some((choice) => choice.value === typed) ? [...found, { value: typed, label: typed }] : found;
  return (
    <Select
      id={id}
      aria-label={label}
      placeholder={placeholder ?? label}
      variant={variant}
      prefix={prefix}
      style={style}
      disabled={disabled}
      allowClear={allowClear}
      popupMatchSelectWidth={240}
      loading={isFetching && open}
      showSearch={{ filterOption: false, searchValue: typed, onSearch: setTyped }}
      onOpenChange={(now) => { setOpen(now); if (!now) setTyped(""); }}
      options={options}
      value={value}
      onChange={(next?: string) => onChange?.(next)}
    />
  );
}
