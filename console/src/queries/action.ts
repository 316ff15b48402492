import { useMutation, useQueryClient } from "@tanstack/react-query";
import { App, type FormInstance } from "antd";
import { problemText } from "../parts/Feedback";
import { placeErrors } from "./fields";

interface Options<In, Out> {
  done?: string;
  onDone?: (out: Out, input: In) => void;
  silent?: boolean;
  /** Where the platform's messages about fields are shown; `names` for fields that the form calls otherwise. */
  form?: FormInstance;
  names?: Record<string, string>;
}

/** A change on the platform: refreshes what it touches, says what went wrong. */
export function useAction<In, Out>(run: (input: In) => Promise<Out>, touches: string[], options: Options<In, Out> = {}) {
  const client = useQueryClient();
  const { message } = App.useApp();
  return useMutation({
    mutationFn: run,
    onSuccess: async (out, input) => {
      if (options.done) void message.success(options.done);
      options.onDone?.(out, input);
      await Promise.all(touches.map((kind) => client.invalidateQueries({ queryKey: [kind] })));
    },
    onError: (error) => {
      if (options.form && placeErrors(options.form, error, options.names)) return;
      if (!options.silent) void message.error(problemText(error), 8);
    },
  });
}
