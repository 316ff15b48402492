import { useTranslation } from "react-i18next";
import type { Service } from "../../api/schema";
import { Code, CodeTabs } from "../../parts/Code";
import { Panel } from "../../parts/Page";
import { samplesFor } from "../../parts/samples";

export function Samples({ service }: { service: Service }) {
  const { t } = useTranslation();
  return (
    <div className="stack wide">
      <Panel title={t("services.address")}>
        <Code text={service.address ?? ""} />
        <p className="small quiet" style={{ marginBottom: 0 }}>{t("services.samplesHint", { name: service.name })}</p>
      </Panel>
      <Panel title={t("published.call")}>
        <CodeTabs samples={samplesFor(service.type, service.address ?? "", service.name)} />
      </Panel>
    </div>
  );
}
