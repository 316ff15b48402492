import { Select } from "antd";
import { useTranslation } from "react-i18next";
import type { Service } from "../../api/schema";
import { toneOf } from "../../parts/State";
import { useUrl } from "../../parts/url";

/** The service in the address, else the first that is ready. */
export function useService(services: Service[]): [Service | undefined, (name: string) => void] {
  const [name, setName] = useUrl("service");
  const service = services.find((item) => item.name === name) ?? services.find((item) => item.replicas_ready > 0) ?? services[0];
  return [service, setName];
}

interface Props {
  services: Service[];
  value?: string;
  onChange: (name: string) => void;
}

export function ServicePick({ services, value, onChange }: Props) {
  const { t } = useTranslation();
  return (
    <Select
      showSearch
      variant="filled"
      style={{ minWidth: 200 }}
      popupMatchSelectWidth={320}
      aria-label={t("play.service")}
      value={value}
      onChange={onChange}
      options={services.map((service) => ({ value: service.name, label: service.name, service }))}
      optionRender={({ data }) => {
        const { service } = data as { service: Service };
        return (
          <span className="row spread">
            <span className="clip">{service.name}</span>
            <span className={`pill ${toneOf(service.state)}`}><i aria-hidden />{t(`state.${service.state}`)}</span>
          </span>
        );
      }}
    />
  );
}
