import { CompassOutlined } from "@ant-design/icons";
import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useRouteError } from "react-router";
import { Empty, ProblemView } from "../parts/Feedback";

/** A page that failed to draw: says so and keeps the frame alive. */
export function Broken() {
  const error = useRouteError();
  return (
    <div className="page">
      <ProblemView error={error} retry={() => window.location.reload()} />
    </div>
  );
}

export function Missing() {
  const { t } = useTranslation();
  return (
    <div className="page">
      <section className="panel">
        <Empty icon={<CompassOutlined />} title={t("missing.title")} text={t("missing.text")} action={<Link to="/overview"><Button type="primary">{t("missing.action")}</Button></Link>} />
      </section>
    </div>
  );
}
