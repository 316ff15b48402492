import { useQuery } from "@tanstack/react-query";
import { Segmented, Slider } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { ModelVersion } from "../../api/schema";
import { ProblemView } from "../../parts/Feedback";
import { formatContext } from "../../parts/format";
import { MemoryParts, Verdict } from "../../parts/PlanParts";
import { Panel } from "../../parts/Page";
import { planQuery, useDebounced } from "../../queries/plan";

const USERS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** Context x users: what this version needs, and whether the pool has it. */
export function MemoryCalculator({ version }: { version: ModelVersion }) {
  const { t } = useTranslation();
  const longest = version.context_length ?? 8192;
  const steps = contexts(longest);
  const [context, setContext] = useState(Math.max(0, steps.length - 3));
  const [users, setUsers] = useState(3);
  const [mode, setMode] = useState<"balanced" | "long_text">("balanced");
  const body = useDebounced({ spec: { model: `${version.model}:${version.version}`, mode, context_length: steps[context] ?? longest, users: USERS[users] ?? 8 } }, 250);
  const { data: plan, error } = useQuery(planQuery(body));
  return (
    <div className="grid2">
      <Panel title={t("memory.ask")}>
        <div className="stack wide">
          <div>
            <div className="row spread"><span>{t("publish.context")}</span><b className="num">{formatContext(steps[context])} {t("word.tokens")}</b></div>
            <Slider min={0} max={steps.length - 1} value={context} onChange={setContext} tooltip={{ formatter: (value) => formatContext(steps[value ?? 0]) }} ariaLabelForHandle={t("publish.context")} />
          </div>
          <div>
            <div className="row spread"><span>{t("publish.users")}</span><b className="num">{USERS[users]}</b></div>
            <Slider min={0} max={USERS.length - 1} value={users} onChange={setUsers} tooltip={{ formatter: (value) => USERS[value ?? 0] }} ariaLabelForHandle={t("publish.users")} />
          </div>
          <Segmented value={mode} onChange={setMode} options={[{ value: "balanced", label: t("mode.balanced") }, { value: "long_text", label: t("mode.long_text") }]} />
        </div>
      </Panel>
      <Panel title={t("memory.need")} flush>
        {error ? <ProblemView error={error} /> : plan && (
          <>
            <Verdict fit={plan.fit} />
            <div style={{ padding: 16 }}><MemoryParts plan={plan} /></div>
          </>
        )}
      </Panel>
    </div>
  );
}

function contexts(longest: number): number[] {
  const steps: number[] = [];
  for (let tokens = 512; tokens < longest; tokens *= 2) steps.push(tokens);
  return [...steps, longest];
}
